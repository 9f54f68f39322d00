"""Read finished runs: typed, checked, and never two panels in one comparison."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.errors import DataError
from pipelines.files import CHECKSUMS, damaged_file, read_json
from pipelines.reporting.comparable import check_one_cell, how_to_restore
from pipelines.reporting.statistics import Matrix

# The order of rows and lines everywhere: the paper's. Names that are not listed follow, by name.
ALGORITHMS = ("grpo", "dapo")
ARMS = ("off", "gradient_scaling", "future_bonus", "full", "center_only")
_FILES = (CHECKSUMS, "run.json", "evaluations.parquet", "metrics.parquet")


@dataclass(frozen=True, eq=False)
class RunResult:
    """One run: its identity, its evaluations (a row per iteration and task), its metrics (a row per iteration).

    ``measures``: the columns of its evaluations that a table shows, with their names there. ``averages``: names of means
    over task types. ``remarks``: what whoever reads the numbers must know.
    """

    folder: Path
    cell: str
    seed: int
    config: dict[str, Any]
    panel_sha256: str
    stand_in: bool
    measures: dict[str, str]
    averages: dict[str, list[str]]
    remarks: list[str]
    evaluations: pd.DataFrame
    metrics: pd.DataFrame

    @property
    def algorithm(self) -> str:
        return str(self.config["algorithm"]["name"])

    @property
    def arm(self) -> str:
        return str(self.config["empg"]["arm"])

    @property
    def benchmark(self) -> str:
        return str(self.config["benchmark"]["name"])

    @property
    def scale(self) -> str:
        return str(self.config["scale"])

    @property
    def setting(self) -> str:
        """What one table has in common."""
        return f"{self.scale} {self.benchmark} {self.config['model']['name']}"

    @property
    def last(self) -> int:
        return int(self.evaluations["iteration"].max())


def find_results(root: Path) -> list[Path]:
    """The ``results`` folders of finished runs below ``root``, sorted. Raises DataError when there is none."""
    # Also by its checksums: a folder that has lost its record is named by ``read_run``, and not left out.
    folders = {path.parent for name in ("run.json", CHECKSUMS) for path in root.rglob(name)}
    found = sorted(folder for folder in folders if not folder.name.startswith("."))
    if not found:
        raise DataError(f"no finished run below {root}: launch one (`make demo`, `python -m flows`), then report again")
    return found


def read_run(folder: Path) -> RunResult:
    """Raises DataError naming the file that is missing or malformed."""
    for name in _FILES:
        if not (folder / name).is_file():
            raise DataError(f"{folder / name} is missing: {how_to_restore(folder)}")
    path = folder / "run.json"
    try:
        if (damaged := damaged_file(folder)) is not None:
            path = folder / damaged
            raise ValueError("not what was written")
        info = read_json(path)
        path = folder / "evaluations.parquet"
        evaluations = pd.read_parquet(path)
        path = folder / "metrics.parquet"
        metrics = pd.read_parquet(path)
        path = folder / "run.json"
        run = RunResult(
            folder, info["cell"], int(info["seed"]), info["config"], info["panel_sha256"], bool(info["stand_in"]),
            info["measures"], info["averages"], info["remarks"], evaluations, metrics,
        )  # fmt: skip
        _ = run.algorithm, run.arm, run.setting, run.measures["success"]
        path = folder / "evaluations.parquet"
        _ = evaluations[["iteration", "task_id", "task_type", *run.measures]], run.last
        path = folder / "metrics.parquet"
        _ = metrics["iteration"]
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
        if run.panel_sha256 != runs[0].panel_sha256:
            raise DataError(
                f"{run.folder} was evaluated on panel {run.panel_sha256[:12]}, {runs[0].folder} on "
                f"{runs[0].panel_sha256[:12]}: they cannot be compared, report them apart"
            )
        for what in ("measures", "averages", "remarks"):
            one, other = getattr(runs[0], what), getattr(run, what)
            if one != other:
                raise DataError(f"{run.folder} has the {what} {other}, {runs[0].folder} {one}: report them apart")


def _order(run: RunResult) -> tuple[tuple[int, str], tuple[int, str], str, int]:
    return rank(run.algorithm, ALGORITHMS), rank(run.arm, ARMS), run.cell, run.seed


def rank(name: str, known: Sequence[str]) -> tuple[int, str]:
    """Sorts names by a known order; what it does not know follows, by name."""
    return known.index(name) if name in known else len(known), name


def algorithms_of(runs: Sequence[RunResult]) -> list[str]:
    """The runs' algorithms, in the order of the rows."""
    return list(dict.fromkeys(run.algorithm for run in runs))


def by_cell(runs: Sequence[RunResult]) -> dict[str, list[RunResult]]:
    cells: dict[str, list[RunResult]] = {}
    for run in runs:
        cells.setdefault(run.cell, []).append(run)
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
