"""What a launch ends with: a line for each cell, from its start to its end and against its baseline. Of whatever runs: those that
cannot be compared have no difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipelines.reporting.rendering import Document, Heading, Table, interval_text
from pipelines.reporting.results import RunResult, outcomes
from pipelines.reporting.statistics import Difference, Estimate, estimate, holm, paired_difference, verdict

_NONE = "–"
_HEADER = ("cell", "seeds", "start → end %", "95 % interval", "to EMPG off", "95 % interval", "verdict")


@dataclass(frozen=True, eq=False)
class Cell:
    """``runs``: those that are finished, of ``asked`` seeds."""

    name: str
    runs: Sequence[RunResult]
    asked: int


@dataclass(frozen=True, eq=False)
class Line:
    """``start``: None where nothing was trained; ``difference``: None where no run is its baseline; ``corrected``: Holm's p."""

    cell: Cell
    start: Estimate | None
    end: Estimate
    difference: Difference | None
    corrected: float = 1.0

    @property
    def verdict(self) -> str:
        return verdict(self.difference, self.corrected) if self.difference else _NONE


def headline(cells: Sequence[Cell]) -> Document:
    """Of the episodes that were solved. Cells without a finished run are left out."""
    lines = lines_of(cells)
    measures = dict.fromkeys(line.cell.runs[0].info.measures["success"] for line in lines)
    title, columns = f"{' / '.join(measures)} before and after training", len(_HEADER)
    if any(line.difference for line in lines):
        title += ", and the paired difference to EMPG off (points)"
    else:
        columns = _HEADER.index("to EMPG off")
    rows = tuple(_texts(line)[:columns] for line in lines)
    return Document("", (Table(title, tuple(map(Heading, _HEADER[:columns])), rows, words=1),))


def lines_of(cells: Sequence[Cell]) -> list[Line]:
    finished = [cell for cell in cells if cell.runs]
    return _corrected([_line(cell, finished) for cell in finished])


def _line(cell: Cell, cells: Sequence[Cell]) -> Line:
    first = [int(run.evaluations["iteration"].min()) for run in cell.runs]
    trained = all(at == 0 < run.last for at, run in zip(first, cell.runs, strict=True))
    start = estimate(outcomes(cell.runs, "success", 0)[0]) if trained else None
    return Line(cell, start, estimate(outcomes(cell.runs, "success")[0]), _difference(cell, cells))


def _difference(cell: Cell, cells: Sequence[Cell]) -> Difference | None:
    """To the cell that differs in EMPG alone, which is off there, over the seeds that both have."""
    for other in cells:
        ours = {run.seed: run for run in cell.runs}
        both = [(ours[run.seed], run) for run in other.runs if run.seed in ours]
        if both and _is_baseline(*both[0]):
            values, _ = outcomes([run for pair in zip(*both, strict=True) for run in pair], "success")
            return paired_difference(values[: len(both)], values[len(both) :])
    return None


def _is_baseline(run: RunResult, other: RunResult) -> bool:
    same = {**run.config, "empg": None, "seed": None} == {**other.config, "empg": None, "seed": None}
    return same and other.info.arm == "off" and run.info.arm != "off"


def _corrected(lines: Sequence[Line]) -> list[Line]:
    compared = [line for line in lines if line.difference]
    tested = dict(zip(compared, holm([line.difference.p for line in compared if line.difference]), strict=True))
    return [replace(line, corrected=tested.get(line, 1.0)) for line in lines]


def _texts(line: Line) -> tuple[str, ...]:
    seeds = str(len(line.cell.runs))
    if len(line.cell.runs) < line.cell.asked:
        seeds = f"{seeds} of {line.cell.asked}"
    end = _percent(line.end.mean)
    numbers = (
        f"{_percent(line.start.mean)} → {end}" if line.start else end,
        interval_text(line.end.low, line.end.high),
    )
    if (d := line.difference) is None:
        return (line.cell.name, seeds, *numbers, _NONE, _NONE, _NONE)
    compared = (f"{100 * d.mean:+.1f}", interval_text(d.low, d.high, "+"), line.verdict)
    return (line.cell.name, seeds, *numbers, *compared)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
