"""Finished runs: read, checked, and compared on one panel of tasks alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.errors import DataError
from pipelines.files import CHECKSUMS, damaged_file, folders_of
from pipelines.reporting.comparable import how_to_restore, start_of
from pipelines.reporting.recorded import read_recorded
from pipelines.reporting.statistics import Matrix
from pipelines.run_info import RunInfo
from pipelines.schemas import RUN_EVALUATIONS, RUN_JSON, RUN_METRICS

_FILES = (CHECKSUMS, RUN_JSON, RUN_EVALUATIONS.file, RUN_METRICS.file)


@dataclass(frozen=True, eq=False)
class RunResult:
    """One run: what it is, its evaluations (a row per iteration and task), its metrics (a row per iteration)."""

    folder: Path
    info: RunInfo
    evaluations: pd.DataFrame
    metrics: pd.DataFrame

    @property
    def seed(self) -> int:
        return self.info.seed

    @property
    def config(self) -> dict[str, Any]:
        return self.info.config

    @property
    def stages(self) -> dict[str, int]:
        return self.info.stages

    @property
    def last(self) -> int:
        """The iteration of the last evaluation."""
        return int(self.evaluations["iteration"].max())


def find_results(root: Path) -> list[Path]:
    """The ``results`` folders of finished runs below ``root``, which may be a pattern (``runs/smoke-*``), sorted. Raises DataError when
    there is none."""
    # Also by its checksums: a folder that has lost its record is named by ``read_run``, and not left out.
    names = (RUN_JSON, CHECKSUMS)
    folders = {path.parent for below in folders_of(root) for name in names for path in below.rglob(name)}
    found = sorted(folder for folder in folders if not folder.name.startswith("."))
    if not found:
        raise DataError(f"no finished run below {root}: launch one (`make demo`, `python -m flows`), then report again")
    return found


def read_run(folder: Path) -> RunResult:
    """Raises DataError naming the file that is missing or malformed."""
    for name in _FILES:
        if not (folder / name).is_file():
            raise DataError(f"{folder / name} is missing: {how_to_restore(folder)}")
    path = folder / RUN_JSON
    try:
        if (damaged := damaged_file(folder)) is not None:
            path = folder / damaged
            raise ValueError("not what was written")
        info = read_recorded(folder)
        path = folder / RUN_METRICS.file
        metrics = pd.read_parquet(path)
        _ = metrics["iteration"]
        path = folder / RUN_EVALUATIONS.file
        run = RunResult(folder, info, pd.read_parquet(path), metrics)
        _ = run.evaluations[["iteration", "task_id", "task_type", *info.measures]], run.last
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(f"{path} is malformed ({error}): {how_to_restore(folder)}") from None
    return run


def read_study(root: Path) -> list[RunResult]:
    """All finished runs below a folder, of whatever cells. Raises DataError when there is none, or naming a bad file."""
    return [read_run(folder) for folder in find_results(root)]


def check_measured_alike(runs: Sequence[RunResult]) -> None:
    """Raises DataError when runs were evaluated on different panels or measured differently."""
    for run in runs[1:]:
        if run.info.panel_sha256 != runs[0].info.panel_sha256:
            raise DataError(
                f"{run.folder} was evaluated on panel {run.info.panel_sha256[:12]}, {runs[0].folder} on "
                f"{runs[0].info.panel_sha256[:12]}: they cannot be compared, report them apart"
            )
        for what in ("measures", "averages", "remarks"):
            one, other = getattr(runs[0].info, what), getattr(run.info, what)
            if one != other:
                raise DataError(f"{run.folder} has the {what} {other}, {runs[0].folder} {one}: report them apart")


def starts_of(runs: Sequence[RunResult]) -> list[int]:
    """Of each run, the seed of the warm start that it begins with: what the statistics take for a component where there are several."""
    return [start_of(run.config) for run in runs]


def machine_text(machine: Mapping[str, str], among: Sequence[Mapping[str, str]]) -> str:
    """A kind of machine by what it does not share with all others; of its vector instructions, by those that not all have."""
    if not machine:
        return "not recorded"
    words = []
    for name, value in machine.items():
        if all(other.get(name) == value for other in among):
            continue
        shared = (
            set.intersection(*(set(other.get(name, "").split()) for other in among)) if name == "vectors" else set()
        )
        words.append(f"{name} {' '.join(word for word in value.split() if word not in shared) or 'the common ones'}")
    return ", ".join(words) or machine.get("cpu", "")


def machines_of(run: RunResult) -> list[dict[str, str]]:
    """The kinds of machine that the run was made on; an empty one where it does not say."""
    return run.info.machines or [{}]


def machines_note(runs: Sequence[RunResult]) -> str:
    """What a reader must know where runs were made on machines of different kinds; "" where all are of one."""
    of_each = [machines_of(run) for run in runs]
    kinds = list({str(sorted(kind.items())): kind for made_on in of_each for kind in made_on}.values())
    if len(kinds) < 2:
        return ""
    counted = (f"{machine_text(kind, kinds)}: {sum(kind in made_on for made_on in of_each)}" for kind in kinds)
    return (
        f"these runs were made on {len(kinds)} kinds of machine, which round differently, so that only runs of one kind repeat each "
        f"other's bytes; number of runs by what tells the kinds apart: {'; '.join(counted)}"
    )


def outcomes(
    runs: Sequence[RunResult], measure: str, iteration: int | None = None, types: Collection[str] | None = None
) -> tuple[Matrix, list[str]]:
    """A measure of tasks that all runs played.

    Args:
        iteration: of the evaluation; None: each run's last. types: of the tasks; None: all.

    Returns:
        The values [runs, tasks], tasks sorted by id, and the tasks' types.

    Raises:
        DataError: the runs' tasks differ or one stands twice: the columns are paired. The message names a task.
    """
    tables = [_played(run, iteration, types) for run in runs]
    for run, table in zip(runs, tables, strict=True):
        if len(unpaired := table.index.symmetric_difference(tables[0].index)):
            raise DataError(
                f"{run.folder / RUN_EVALUATIONS.file} and {runs[0].folder / RUN_EVALUATIONS.file} played other tasks at iteration "
                f"{run.last if iteration is None else iteration} (only one has {unpaired[0]}): they cannot be compared, report "
                "them apart"
            )
    values = np.stack([table[measure].to_numpy(dtype=np.float64) for table in tables])
    return values, tables[-1]["task_type"].tolist()


def _played(run: RunResult, iteration: int | None, types: Collection[str] | None) -> pd.DataFrame:
    """The evaluation's measures and types by task id, sorted; a task that was played several times has its means."""
    at = run.last if iteration is None else iteration
    table = run.evaluations[run.evaluations["iteration"] == at]
    if types is not None:
        table = table[table["task_type"].isin(types)]
    twice = table.duplicated(["task_id", "sample"] if "sample" in table else "task_id")
    if twice.any():
        task = table.loc[twice, "task_id"].min()
        raise DataError(
            f"{run.folder / RUN_EVALUATIONS.file} has task {task} twice at iteration {at}: {how_to_restore(run.folder)}"
        )
    return table.groupby("task_id").agg({**dict.fromkeys(run.info.measures, "mean"), "task_type": "first"})
