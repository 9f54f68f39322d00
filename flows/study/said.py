"""What is said of a study before it starts: its runs, its hours, and what it could tell."""

from __future__ import annotations

from flows.study.plan import Plan
from flows.windows.terminal import duration
from pipelines.reporting.statistics import POWER
from pipelines.reporting.study.verdict import Promise, family_size, promises
from pipelines.workers import usable_cores


def plan_lines(plan: Plan, seconds_left: float) -> list[str]:
    """``seconds_left``: of one core, by what is not done yet."""
    registration, size, cores = plan.registration, plan.size, usable_cores()
    whole = plan.core_hours * 3600
    per = registration.seeds_per_warm_start
    runs = f"{size.warm_starts} warm starts × {per} seeds × {len(size.arms)} arms: {len(plan.jobs)} runs"
    lines = [
        f"{plan.name}: {registration.question}",
        f"{runs} on {registration.benchmark}, each on {registration.tasks:,} held-out tasks at its end",
        f"about {duration(whole / cores)} on {cores} cores ({plan.core_hours:.1f} core-hours)",
        *([f"{duration(seconds_left / cores)} of it are left"] if seconds_left < whole else []),
        f"primary contrast: {registration.primary.arm} − {registration.primary.baseline}, one look, alone at "
        f"{registration.test.alpha:.0%}; comparisons in Holm's family: {family_size(registration, size)}",
    ]
    return [*lines, *(_promised(promise) for promise in promises(registration, size))]


def _promised(promise: Promise) -> str:
    controls = "".join(f"; {arm} {power:.0%}" for arm, power in promise.controls.items())
    return (
        f"  if differences vary as {promise.spread}: {100 * promise.alone:.1f} points are told from 0 in {POWER:.0%} of such studies, "
        f"{100 * promise.first:.1f} among the others{controls}"
    )


def unmet(plan: Plan) -> str:
    """Which control the plan would not tell with the registered power; "" where it tells all."""
    registration = plan.registration
    planned = next(p for p in promises(registration, plan.size) if p.spread == registration.planned)
    weak = {arm: power for arm, power in planned.controls.items() if power < registration.test.power}
    if not weak:
        return ""
    told = ", ".join(f"{arm} with {power:.0%}" for arm, power in weak.items())
    return (
        f"{plan.file}: {plan.name} would tell {told}, less than test.power={registration.test.power}: take more warm starts "
        f"(hours.{plan.hours}.warm_starts), or a control of a larger effect"
    )
