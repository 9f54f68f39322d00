"""The registration is written before the first run, and what was registered stays."""

from __future__ import annotations

import time
from pathlib import Path

from flows.study.plan import Plan
from flows.windows.run_log import FILE as RUN_LOG
from pipelines.commit import code_commit
from pipelines.cpu import kind_of_machine
from pipelines.errors import ConfigError
from pipelines.files import restore_folder
from pipelines.reporting.study.registration import sha256_of
from pipelines.reporting.study.results import REGISTERED, Registered, read_registered, write_registered

_TRACES = (RUN_LOG, "params.yaml", "results")  # each may have been removed or copied without the others


def register(plan: Plan, folder: Path) -> Registered:
    """Write the registration, or find it as it was.

    Raises:
        ConfigError: it was changed since, some of its runs are older than it, its runs are in another folder, or this is another kind
            of machine.
        DataError: the folder is not as it was written.
    """
    now = _now(plan)
    restore_folder(folder)
    known = read_registered(folder) if (folder / REGISTERED).exists() else None
    if known is not None and known.runs_folder != now.runs_folder:
        raise ConfigError(
            f"execution.runs={now.runs_folder}: {folder} was registered with its runs in {known.runs_folder}, and they stay there: "
            f"give execution.runs={known.runs_folder}"
        )
    if known is not None and (known.registration, known.composed) != (now.registration, now.composed):
        raise ConfigError(_changed(plan, known, now, folder))
    if known is not None:
        _check_machine(known, now, folder)
        return known
    if begun := _begun(now):
        raise ConfigError(
            f"{len(begun)} of the study's {len(now.runs)} runs are older than its registration ({begun[0]}): what is "
            "registered comes first: take warm starts that nobody has looked at (hours.…first)"
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
        runs_folder=str(plan.jobs[0].config.execution.runs),
        runs=plan.runs,
    )


def _begun(registered: Registered) -> list[Path]:
    """The folders of its runs that hold any trace of one."""
    folders = [Path(registered.runs_folder) / run.folder for run in registered.runs]
    return [folder for folder in folders if any((folder / trace).exists() for trace in _TRACES)]


def _changed(plan: Plan, known: Registered, now: Registered, folder: Path) -> str:
    remedy = (
        "or register it as another study: copy it to a file of another name, with warm starts of its own (registration=…). "
        f"{folder} is as it was; remove it only if none of its runs was ever begun"
    )
    if known.registration != now.registration:
        hashes = f"SHA-256 {now.registration[:12]}, registered {known.registration[:12]} at {known.registered}"
        return (
            f"{plan.file} was changed after it was registered ({hashes}): take back the change (git checkout -- {plan.file}), "
            f"{remedy}"
        )
    return (
        f"{plan.file} composes to other runs than when it was registered (conf/, or what the code's stages compute, was changed "
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
