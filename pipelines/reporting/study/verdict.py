"""The verdict of a registered study: its comparisons as they were registered, and no others. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from pipelines.errors import DataError
from pipelines.reporting.power import Component, Components, Design, Paired, components_of, detectable, power
from pipelines.reporting.statistics import Difference, Estimate, estimate, holm, paired_difference, verdict
from pipelines.reporting.study.registration import Contrast, Control, Registration, Size, Spread
from pipelines.reporting.study.results import Played, starts_of

Role = Literal["primary", "second outcome", "other arm", "control"]


@dataclass(frozen=True)
class Finding:
    """``p``: corrected by Holm among the family's where the role has one; a primary contrast and controls stand alone."""

    role: Role
    contrast: Contrast
    difference: Difference
    p: float
    control: Control | None = None

    @property
    def verdict(self) -> str:
        return verdict(self.difference, self.p)

    @property
    def excludes(self) -> float:
        """The smallest share such that the 95 % interval holds no difference beyond it, in either direction; NaN where nothing varied,
        so that the interval has no width and says nothing."""
        return max(abs(self.difference.low), abs(self.difference.high)) if self.difference.error.se else float("nan")

    @property
    def told(self) -> bool:
        """Of a control: the study told it from its baseline, in the direction that was expected."""
        return self.control is not None and self.verdict == self.control.expected


@dataclass(frozen=True)
class Verdict:
    """``arms``: the success of each before training and at the end. ``varies``: what the arms' differences were found to vary by.
    ``could_tell``: the difference that such a study tells from 0, by what was found."""

    findings: tuple[Finding, ...]
    arms: Mapping[str, tuple[Estimate, Estimate]]
    varies: Components
    could_tell: float

    def of(self, role: Role) -> list[Finding]:
        return [finding for finding in self.findings if finding.role == role]

    @property
    def primary(self) -> Finding:
        return self.of("primary")[0]


def verdict_of(registration: Registration, size: Size, played: Played) -> Verdict:
    """Raises DataError: arms of a contrast were not played by the same warm starts and seeds on the same tasks."""
    alone = [_finding("primary", registration.primary, played)]
    family = list(_family(registration, size, played))
    corrected = holm([finding.difference.p for finding in family])
    alone += [replace(finding, p=p) for finding, p in zip(family, corrected, strict=True)]
    for name, control in registration.controls.items():
        if name in size.arms:
            found = _finding("control", Contrast(arm=name, baseline=control.baseline), played)
            alone.append(replace(found, control=control))
    varies = components_of([_paired(contrast, played.solved) for contrast in _of_empg(registration, size)])
    arms = {arm: (_level(arm, "start", played), _level(arm, "end", played)) for arm in size.arms}
    return Verdict(tuple(alone), arms, varies, detectable(varies, design_of(registration, size)))


def _family(registration: Registration, size: Size, played: Played) -> Iterator[Finding]:
    """Beside the primary comparison: its second outcome, and the other arms by the first."""
    yield _of_rollouts(registration, played)
    for contrast in _of_empg(registration, size)[1:]:
        yield _finding("other arm", contrast, played)


def _of_empg(registration: Registration, size: Size) -> list[Contrast]:
    """The primary contrast, and the others that this size has."""
    others = (Contrast(arm=arm, baseline=of) for arm, of in registration.others.items() if arm in size.arms)
    return [registration.primary, *others]


def family_size(registration: Registration, size: Size) -> int:
    """How many comparisons Holm corrects for."""
    return len(_of_empg(registration, size))


def _finding(role: Role, contrast: Contrast, played: Played) -> Finding:
    return _found(role, contrast, _paired(contrast, played.solved))


def _of_rollouts(registration: Registration, played: Played) -> Finding:
    pair = _paired(registration.primary, lambda arm: played.last_rollouts(arm, registration.rollouts))
    return _found("second outcome", registration.primary, pair)


def _found(role: Role, contrast: Contrast, pair: Paired) -> Finding:
    difference = paired_difference(pair.treatment, pair.baseline, starts=pair.starts)
    return Finding(role, contrast, difference, difference.p)


def _paired(contrast: Contrast, outcome: Callable[[str], pd.DataFrame]) -> Paired:
    """``outcome``: of an arm [runs, tasks]. Raises DataError: the arms' are not of the same runs and tasks."""
    one, other = outcome(contrast.arm), outcome(contrast.baseline)
    if not (one.index.equals(other.index) and one.columns.equals(other.columns)):
        raise DataError(
            f"{contrast.arm} and {contrast.baseline} were not played by the same warm starts and seeds on the same tasks"
        )
    if one.isna().any(axis=None) or other.isna().any(axis=None):
        raise DataError(f"{contrast.arm} or {contrast.baseline} has a run that did not play every task")
    return Paired(one.to_numpy(np.float64), other.to_numpy(np.float64), starts_of(one))


def _level(arm: str, at: str, played: Played) -> Estimate:
    table = played.solved(arm, at)
    return estimate(table.to_numpy(np.float64), starts=starts_of(table))


# ------------------------------------------------------------------------------------------------------------ the plan


def design_of(registration: Registration, size: Size) -> Design:
    return Design(size.warm_starts, registration.seeds_per_warm_start, registration.tasks)


def components(spread: Spread) -> Components:
    """Of a plan, which takes them for known."""
    start, seed, task = (
        Component((points / 100) ** 2, 0.0, float("nan"), 0) for points in (spread.warm_start, spread.seed, spread.task)
    )
    return Components(start, seed, task, (spread.dice / 100) ** 2, 0.5)


@dataclass(frozen=True)
class Promise:
    """What a study of this size tells in ``POWER`` of cases if differences vary by this ``spread``: ``alone`` a comparison that stands
    alone, ``first`` the first of the family. ``controls``: the power for each control's expected effect. Shares."""

    spread: str
    alone: float
    first: float
    controls: Mapping[str, float]


def promises(registration: Registration, size: Size) -> list[Promise]:
    design, found = design_of(registration, size), []
    for name, spread in registration.spreads.items():
        parts = components(spread)
        controls = {
            arm: power(parts, design, control.at_least / 100)
            for arm, control in registration.controls.items()
            if arm in size.arms
        }
        first = detectable(parts, design, family_size(registration, size))
        found.append(Promise(name, detectable(parts, design), first, controls))
    return found
