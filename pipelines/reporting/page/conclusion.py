"""What a study says, in two sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pipelines.reporting.headline import Cell, Line, lines_of
from pipelines.reporting.names import benchmark_title
from pipelines.reporting.page.making import cells_of
from pipelines.reporting.results import RunResult
from pipelines.reporting.statistics import FEW_SEEDS


def conclusion_of(runs: Sequence[RunResult]) -> tuple[str, str]:
    """Whether training helped, and whether EMPG did, by the cells' own numbers."""
    lines = lines_of([Cell(members[0].info.cell, members, len(members)) for members in cells_of(runs)])
    return _of_training(lines), _of_empg(lines)


def dates_of(runs: Sequence[RunResult]) -> str:
    """When the code of the runs was committed; "" where they do not say."""
    dates = sorted({run.info.committed for run in runs if run.info.committed})
    return " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else ""


def _of_training(lines: Sequence[Line]) -> str:
    trained = [line for line in lines if line.gain]
    if not trained:
        return "Nothing was trained here: these are evaluations."
    parts = []
    for benchmark in dict.fromkeys(line.cell.runs[0].info.benchmark for line in trained):
        own = [line for line in trained if line.cell.runs[0].info.benchmark == benchmark]
        starts = [line.start.mean for line in own if line.start]
        parts.append(f"{benchmark_title(benchmark)} from {_span(starts)} to {_span([line.end.mean for line in own])} %")
    verdicts, total = Counter(map(_of_gain, trained)), len(trained)
    if verdicts["higher"] == total:
        cells = "the one trained cell" if total == 1 else f"all {total} trained cells"
        return f"Training raised success in {cells}: {', '.join(parts)}."
    cells = f"{total} trained cell{'s' if total > 1 else ''}"
    return f"Success before and after training: {', '.join(parts)}. Of the gains of {cells}: {_counted(verdicts)}."


def _of_gain(line: Line) -> str:
    """Two seeds have hardly an error to judge by: whatever they gain is no noise for that."""
    few = line.gain_verdict == "noise" and line.end.seeds < FEW_SEEDS
    return "few seeds" if few else line.gain_verdict


def _of_empg(lines: Sequence[Line]) -> str:
    verdicts = Counter(line.verdict for line in lines if line.difference)
    if not verdicts:
        return "No two runs differ in EMPG alone, so nothing is said of it."
    total = sum(verdicts.values())
    if verdicts["noise"] == total:
        differences = "the one difference to EMPG off is" if total == 1 else f"all {total} differences to EMPG off are"
        return f"EMPG and its absence cannot be told apart here: {differences} noise."
    return f"Of {total} difference{'s' if total > 1 else ''} to EMPG off: {_counted(verdicts)}."


def _counted(verdicts: Mapping[str, int]) -> str:
    said = {"few seeds": "of too few seeds to tell"}
    return ", ".join(f"{count} {said.get(word, word)}" for word, count in sorted(verdicts.items()) if count)


def _span(shares: Sequence[float]) -> str:
    low, high = (f"{100 * share:.1f}" for share in (min(shares), max(shares)))
    return low if low == high else f"{low}–{high}"
