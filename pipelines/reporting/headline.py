"""What a launch ends with: a line for each cell, from its start to its end and against its baseline. Of whatever runs: those that
cannot be compared have no difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipelines.reporting.comparable import replicate_of, without_seeds
from pipelines.reporting.rendering import Document, Heading, Table, interval_text
from pipelines.reporting.results import RunResult, machines_note, outcomes, starts_of
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
    """``start`` and ``gain``, the end's paired difference to it on the same tasks: None where nothing was trained. ``difference``:
    None where no run is its baseline. ``corrected``, ``corrected_gain``: their p by Holm, among all lines."""

    cell: Cell
    start: Estimate | None
    end: Estimate
    gain: Difference | None
    difference: Difference | None
    corrected: float = 1.0
    corrected_gain: float = 1.0

    @property
    def verdict(self) -> str:
        return verdict(self.difference, self.corrected) if self.difference else _NONE

    @property
    def gain_verdict(self) -> str:
        return verdict(self.gain, self.corrected_gain) if self.gain else _NONE


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
    note = machines_note([run for line in lines for run in line.cell.runs])
    notes = (f"Remark: {note}.",) if note else ()
    return Document("", (Table(title, tuple(map(Heading, _HEADER[:columns])), rows, words=1),), notes)


def lines_of(cells: Sequence[Cell]) -> list[Line]:
    finished = [cell for cell in cells if cell.runs]
    return _corrected([_line(cell, finished) for cell in finished])


def _line(cell: Cell, cells: Sequence[Cell]) -> Line:
    first = [int(run.evaluations["iteration"].min()) for run in cell.runs]
    end, of = outcomes(cell.runs, "success")[0], starts_of(cell.runs)
    if not all(at == 0 < run.last for at, run in zip(first, cell.runs, strict=True)):
        return Line(cell, None, estimate(end, starts=of), None, _difference(cell, cells))
    start = outcomes(cell.runs, "success", 0)[0]
    gain = paired_difference(end, start, starts=of)
    return Line(cell, estimate(start, starts=of), estimate(end, starts=of), gain, _difference(cell, cells))


def _difference(cell: Cell, cells: Sequence[Cell]) -> Difference | None:
    """To the cell that differs in EMPG alone, which is off there, over the warm starts and seeds that both have."""
    for other in cells:
        ours = {replicate_of(run): run for run in cell.runs}
        both = [(ours[of], run) for run in other.runs if (of := replicate_of(run)) in ours]
        if both and all(_is_baseline(run, its) for run, its in both):
            values, _ = outcomes([run for pair in zip(*both, strict=True) for run in pair], "success")
            starts = starts_of([run for run, _ in both])
            return paired_difference(values[: len(both)], values[len(both) :], starts=starts)
    return None


def _is_baseline(run: RunResult, other: RunResult) -> bool:
    """What tasks were played, the panel says: no value says where a benchmark's own files lay."""
    one, its = (without_seeds({**of.config, "empg": None}) for of in (run, other))
    same = one == its and run.info.panel_sha256 == other.info.panel_sha256 and run.stages == other.stages
    return same and other.info.arm == "off" and run.info.arm != "off"


def _corrected(lines: Sequence[Line]) -> list[Line]:
    to_off = _holm([line.difference for line in lines])
    gains = _holm([line.gain for line in lines])
    return [
        replace(line, corrected=p, corrected_gain=of_gain)
        for line, p, of_gain in zip(lines, to_off, gains, strict=True)
    ]


def _holm(differences: Sequence[Difference | None]) -> list[float]:
    """Of those that there are; 1 for the others."""
    corrected = iter(holm([each.p for each in differences if each]))
    return [next(corrected) if each else 1.0 for each in differences]


def _texts(line: Line) -> tuple[str, ...]:
    seeds = str(len(line.cell.runs))
    if len(line.cell.runs) < line.cell.asked:
        seeds = f"{seeds} of {line.cell.asked}"
    if line.end.starts > 1:
        seeds += f" ({line.end.starts} warm starts)"
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
