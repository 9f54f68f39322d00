"""A table of a study as CSV: every number with all its digits, in percent like the paper's own (``paper/*.csv``)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable

from pipelines.reporting.specification import Column, Row
from pipelines.reporting.study_tables import StudyTable

_ROW = ("model", "method", "empg", "zeta", "k", "normalization")
_COLUMN = ("benchmark", "group", "column", "measure")
_NUMBERS = ("mean", "sd", "low", "high", "seeds", "tasks")
_PAPER = ("paper_mean", "paper_pm", "paper_printed")
_DIFFERENCE = ("seeds", "tasks", "difference", "low", "high", "p", "p_holm", "verdict")


def numbers_csv(table: StudyTable) -> str:
    """A line per row and column of the table, also where nothing was run; the paper's numbers at its scale alone."""
    lines = []
    for line in table.lines:
        for shown in table.columns:
            e, number = line.numbers.get(shown), table.published.get((line.row, shown[1]))
            ours = (
                [_percent(v) for v in (e.mean, e.sd, e.low, e.high)] + [e.seeds, e.tasks] if e else [""] * len(_NUMBERS)
            )
            paper = [number.mean, number.pm, number.printed] if number else [""] * len(_PAPER)
            lines.append([*_row(line.row), *_column(*shown), *ours, *(paper if table.published else [])])
    return _csv([*_ROW, *_COLUMN, *_NUMBERS, *(_PAPER if table.published else ())], lines)


def differences_csv(table: StudyTable) -> str:
    """A line per row, column and difference to EMPG off."""
    lines = []
    for c in table.contrasts:
        d = c.difference
        numbers = [d.seeds, d.tasks, *(_percent(v) for v in (d.mean, d.low, d.high))]
        lines.append([*_row(c.row), *_column(*c.shown), *numbers, d.p, c.corrected, c.verdict])
    return _csv([*_ROW, *_COLUMN, *_DIFFERENCE], lines)


def _row(row: Row) -> list[str | float]:
    strength = [row.zeta, row.k, row.normalization] if row.has_strength else [""] * 3
    return [row.model, row.method, row.empg or "", *strength]


def _column(benchmark: str, column: Column) -> list[str]:
    return [benchmark, column.group, column.name, column.measure]


def _percent(share: float) -> float | str:
    return "" if math.isnan(share) else 100 * share


def _csv(header: Iterable[str], lines: Iterable[Iterable[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return out.getvalue()
