"""A study in a few numbers and its curves, as `dvc metrics` and `dvc plots` read them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.files import write_json
from pipelines.reporting.headline import Cell, Line, lines_of
from pipelines.reporting.rendering import csv_text
from pipelines.reporting.results import RunResult, read_study


def write_summary(runs: Path, out: Path) -> None:
    """``metrics.json``, of each cell its start, end and difference in percent, and ``curves.csv``, a row per evaluation; the same
    results give the same bytes. Raises DataError naming a bad file."""
    cells = _cells(read_study(runs))
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "metrics.json", {line.cell.name: _numbers(line) for line in lines_of(cells)})
    (out / "curves.csv").write_text(csv_text(("cell", "seed", "iteration", "success"), _curves(cells)), "utf-8")


def _cells(runs: Sequence[RunResult]) -> list[Cell]:
    """By the folder that the seeds share, whose name ends in digits of the settings."""
    found: dict[str, list[RunResult]] = {}
    for run in runs:
        seed = run.folder.parent if run.folder.name == "results" else run.folder
        found.setdefault(seed.parent.name, []).append(run)
    return [Cell(name, members, len(members)) for name, members in sorted(found.items())]


def _numbers(line: Line) -> dict[str, Any]:
    numbers = {"seeds": line.end.seeds, "end": line.end.mean, "low": line.end.low, "high": line.end.high}
    if line.start is not None:
        numbers["start"] = line.start.mean
    if line.difference is not None:
        numbers["to_off"] = line.difference.mean
    known = {name: value for name, value in numbers.items() if not math.isnan(value)}  # one game has no interval
    return {name: value if name == "seeds" else round(100 * value, 3) for name, value in known.items()}


def _curves(cells: Sequence[Cell]) -> list[tuple[object, ...]]:
    return [
        (cell.name, run.seed, iteration, round(float(success), 6))
        for cell in cells
        for run in sorted(cell.runs, key=lambda run: run.seed)
        for iteration, success in run.evaluations.groupby("iteration")["success"].mean().items()
    ]
