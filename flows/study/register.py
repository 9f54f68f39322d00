"""The registration is written before the first run, and what was registered stays."""

from __future__ import annotations

import time
from pathlib import Path

from flows.study.plan import Plan
from flows.windows.run_log import FILE as RUN_LOG
from pipelines.commit import code_commit
from pipelines.cpu import kind_of_machine
from pipelines.errors import ConfigError
from pipelines.reporting.study.registration import sha256_of
from pipelines.reporting.study.results import GAMES, REGISTERED, Registered, read_registered, write_registered


def register(plan: Plan, folder: Path) -> Registered:
    """Write the registration, or find it as it was.

    Raises:
        ConfigError: it was changed after the first run, some of its runs are older than it, or this is another kind of machine.
        DataError: the folder is not as it was written.
    """
    now = _now(plan)
    known = read_registered(folder) if (folder / REGISTERED).exists() else None
    if known is not None and (known.registration, known.composed) == (now.registration, now.composed):
        _check_machine(known, now, folder)
        return known
    if known is not None and _has_begun(plan, known, folder):
        raise ConfigError(_changed(plan, known, now, folder))
    if begun := [run.folder for run in now.runs if (_runs(plan) / run.folder / RUN_LOG).exists()]:
        raise ConfigError(
            f"{len(begun)} of the study's {len(now.runs)} runs are older than its registration ({_runs(plan) / begun[0]}): what is "
            "registered comes first; take warm starts that nobody has looked at (hours.…first), or remove these runs"
        )
    write_registered(folder, plan.content, now)
    return now


def _now(plan: Plan) -> Registered:
    experiment = plan.jobs[0].config.experiment
    return Registered(
        registration=sha256_of(plan.content),
        composed=plan.composed,
        commit=code_commit(),
        registered=time.strftime("%Y-%m-%d %H:%M"),
        machine=kind_of_machine(gpus=experiment.policy.takes_gpus(experiment)),
        hours=plan.hours,
        core_hours=plan.core_hours,
        runs=plan.runs,
    )


def _runs(plan: Plan) -> Path:
    return plan.jobs[0].config.execution.runs


def _has_begun(plan: Plan, known: Registered, folder: Path) -> bool:
    return (folder / GAMES).exists() or any((_runs(plan) / run.folder / RUN_LOG).exists() for run in known.runs)


def _changed(plan: Plan, known: Registered, now: Registered, folder: Path) -> str:
    remedy = (
        "or register it as another study: copy it to a file of another name, with warm starts of its own (registration=…); "
        f"{folder} is as it was"
    )
    if known.registration != now.registration:
        hashes = f"SHA-256 {now.registration[:12]}, registered {known.registration[:12]} at {known.registered}"
        return (
            f"{plan.file} was changed after the study's first run ({hashes}): take back the change (git checkout -- {plan.file}), "
            f"{remedy}"
        )
    return (
        f"{plan.file} composes to other runs than at the study's first run (conf/, or what the code's stages compute, was changed "
        f"since commit {known.commit[:12]}): go on with that commit's code, {remedy}"
    )


def _check_machine(known: Registered, now: Registered, folder: Path) -> None:
    if known.machine != now.machine:
        differing = ", ".join(
            f"{name} {known.machine.get(name, 'none')}, here {now.machine.get(name, 'none')}"
            for name in sorted(known.machine.keys() | now.machine)
            if known.machine.get(name) != now.machine.get(name)
        )
        raise ConfigError(
            f"{folder} was registered on another kind of machine ({differing}), and runs of two kinds are never paired: go on there"
        )
