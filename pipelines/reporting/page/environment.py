"""What the runs were made with, as each recorded it: panels, commits of the code, versions of packages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.reporting.figures.study import grouped, model_name, panels
from pipelines.reporting.names import benchmark_title
from pipelines.reporting.results import RunResult, machines_note, starts_of
from pipelines.run_info import RunInfo


@dataclass(frozen=True)
class Setting:
    """The runs of a benchmark and model. ``panel``: the SHA-256 of the tasks that were played."""

    name: str
    cells: int
    seeds: str
    tasks: int
    panel: str


@dataclass(frozen=True)
class Environment:
    """``commits``, ``versions``, ``machines``: each with the number of runs that were made with it. ``remarks``: what a reader must
    know."""

    runs: int
    settings: tuple[Setting, ...]
    commits: tuple[tuple[str, int], ...]
    versions: tuple[tuple[str, int], ...]
    remarks: tuple[str, ...]
    machines: tuple[tuple[str, int], ...] = ()


def environment_of(runs: Sequence[RunResult]) -> Environment:
    infos = [run.info for run in runs]
    groups = grouped(runs, lambda run: f"{benchmark_title(run.info.benchmark)} · {model_name(run)}")
    return Environment(
        len(runs),
        tuple(_setting(name, members) for name, members in sorted(groups.items())),
        _counted([info.commit for info in infos]),
        _counted([f"{name} {version}" for info in infos for name, version in info.versions.items()]),
        tuple(sorted({remark for info in infos for remark in info.remarks} | set(filter(None, [machines_note(runs)])))),
        machines_counted(infos),
    )


def machines_counted(infos: Sequence[RunInfo]) -> tuple[tuple[str, int], ...]:
    """The kinds of machine that the runs were made on; none where no run says."""
    return _counted([_text(kind) for info in infos for kind in info.machines])


def _text(machine: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in machine.items()) or "not recorded"


def _setting(name: str, runs: Sequence[RunResult]) -> Setting:
    seeds, starts = (", ".join(map(str, sorted(set(of)))) for of in ([run.seed for run in runs], starts_of(runs)))
    if "," in starts:
        seeds += f" (warm starts {starts})"
    tasks = runs[0].evaluations["task_id"].nunique()
    return Setting(name, sum(len(panel.series) for panel in panels(runs)), seeds, tasks, runs[0].info.panel_sha256)


def _counted(values: Sequence[Any]) -> tuple[tuple[Any, int], ...]:
    return tuple(sorted(Counter(values).items()))
