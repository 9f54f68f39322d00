"""Read finished runs: typed, checked, and never two panels in one comparison."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.errors import DataError
from pipelines.files import CHECKSUMS, damaged_file
from pipelines.reporting.comparable import check_one_cell, how_to_restore
from pipelines.reporting.statistics import Matrix
from pipelines.run_info import RunInfo, read_run_info
from pipelines.schemas import RUN_JSON

# The order of rows and lines everywhere: the paper's. Names that are not listed follow, by name.
ALGORITHMS = ("grpo", "dapo")
ARMS = ("off", "gradient_scaling", "future_bonus", "full", "center_only")
_FILES = (CHECKSUMS, RUN_JSON, "evaluations.parquet", "metrics.parquet")


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
    def setting(self) -> str:
        """What the runs of one table have in common."""
        return f"{self.info.scale} {self.info.benchmark} {self.info.model}"

    @property
    def last(self) -> int:
        """The iteration of the last evaluation."""
        return int(self.evaluations["iteration"].max())


def find_results(root: Path) -> list[Path]:
    """The ``results`` folders of finished runs below ``root``, sorted. Raises DataError when there is none."""
    # Also by its checksums: a folder that has lost its record is named by ``read_run``, and not left out.
    folders = {path.parent for name in (RUN_JSON, CHECKSUMS) for path in root.rglob(name)}
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
        info = read_run_info(folder)
        path = folder / "metrics.parquet"
        metrics = pd.read_parquet(path)
        _ = metrics["iteration"]
        path = folder / "evaluations.parquet"
        run = RunResult(folder, info, pd.read_parquet(path), metrics)
        _ = run.evaluations[["iteration", "task_id", "task_type", *info.measures]], run.last
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(f"{path} is malformed ({error}): {how_to_restore(folder)}") from None
    return run


def read_runs(folders: Iterable[Path]) -> list[RunResult]:
    """All runs of one comparison, sorted. Raises DataError when they were evaluated on different panels or measured
    differently, when they are of different scales, benchmarks or models, or when two of a cell have the same seed or
    other settings."""
    runs = sorted((read_run(folder) for folder in folders), key=_order)
    check_measured_alike(runs)
    for run in runs[1:]:
        if run.setting != runs[0].setting:
            raise DataError(f"{run.folder} is {run.setting}, {runs[0].folder} is {runs[0].setting}: report them apart")
    for members in by_cell(runs).values():
        check_one_cell(members)
    return runs


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


def _order(run: RunResult) -> tuple[tuple[int, str], tuple[int, str], str, int]:
    return rank(run.info.algorithm, ALGORITHMS), rank(run.info.arm, ARMS), run.info.cell, run.seed


def rank(name: str, known: Sequence[str]) -> tuple[int, str]:
    """Sorts names by a known order; what it does not know follows, by name."""
    return known.index(name) if name in known else len(known), name


def algorithms_of(runs: Sequence[RunResult]) -> list[str]:
    """The runs' algorithms, in the order of the rows."""
    return list(dict.fromkeys(run.info.algorithm for run in runs))


def by_cell(runs: Sequence[RunResult]) -> dict[str, list[RunResult]]:
    cells: dict[str, list[RunResult]] = {}
    for run in runs:
        cells.setdefault(run.info.cell, []).append(run)
    return cells


def outcomes(
    runs: Sequence[RunResult], measure: str, iteration: int | None = None, types: Collection[str] | None = None
) -> tuple[Matrix, list[str]]:
    """A measure [runs, tasks] at an iteration (None: each run's last), tasks sorted by id, and the tasks' types; of some
    ``types`` alone, or of all. Raises DataError when the runs' tasks differ: the columns are paired."""
    rows: list[Matrix] = []
    tasks: list[str] = []
    for run in runs:
        at = run.last if iteration is None else iteration
        table = run.evaluations[run.evaluations["iteration"] == at]
        if types is not None:
            table = table[table["task_type"].isin(types)]
        table = table.sort_values("task_id")
        played = table["task_id"].tolist()
        if rows and played != tasks:
            raise DataError(
                f"{run.folder / 'evaluations.parquet'} and {runs[0].folder / 'evaluations.parquet'} have other tasks at "
                f"iteration {at}: they cannot be compared, report them apart"
            )
        tasks = played
        rows.append(table[measure].to_numpy(dtype=np.float64))
    return np.stack(rows), table["task_type"].tolist()
