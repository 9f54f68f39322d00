"""The paper's own numbers, its averages recomputed, and what is wrong with them: ``paper/*.csv``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import pandas as pd

from pipelines.reporting.names import PAPER
from pipelines.reporting.specification import Column, Row, Specification

_WRONG = 0.1  # points: what rounding to one digit explains, of a mean and of what it is the mean of


@dataclass(frozen=True)
class Number:
    """A number as the paper prints it, in percent. ``mean``: recomputed where it is an average; ``pm``: its ±, if any."""

    mean: float
    pm: float | None
    printed: float

    @property
    def is_wrong(self) -> bool:
        return abs(self.mean - self.printed) > _WRONG


class Published:
    """One of the paper's tables, by row and column of its specification. Empty for a table that the paper lacks."""

    def __init__(self, name: str) -> None:
        file = PAPER / f"{name}.csv"
        # Floats are read to the last bit: the same text is the same number.
        self._lines = pd.read_csv(file, float_precision="round_trip") if file.is_file() else pd.DataFrame()

    def number(self, row: Row, column: Column) -> Number | None:
        line = self.line(row)
        if line is None or column.published not in line or pd.isna(line[column.published]):
            return None
        printed, pm = float(line[column.published]), line.get(f"{column.published}_pm")
        mean = sum(float(line[name]) for name in column.mean_of) / len(column.mean_of) if column.mean_of else printed
        return Number(mean, None if pm is None or pd.isna(pm) else float(pm), printed)

    def line(self, row: Row) -> pd.Series | None:
        """Its line of the CSV. Models there are the instruct ones; the ablation's off is blank where nothing is ablated."""
        if self._lines.empty:
            return None
        lines = self._lines[(self._lines["model"] == f"{row.model}-instruct") & (self._lines["method"] == row.method)]
        wanted = {"empg": row.empg or "off", "zeta": row.zeta, "k": row.k}
        for name in lines.columns.intersection(list(wanted)):
            values = lines[name].fillna("off") if name == "empg" else lines[name]
            lines = lines[values == wanted[name]]
        return None if lines.empty else lines.iloc[0]


def quoted_in(specification: Specification) -> list[str]:
    """Which rows the paper has from elsewhere."""
    paper = Published(specification.name)
    lines = [(row, line) for row in specification.rows if (line := paper.line(row)) is not None]
    quoted: dict[str, dict[str, None]] = {}
    for row, line in lines:
        if (origin := line.get("origin", "EMPG")) != "EMPG":
            quoted.setdefault(str(origin), {})[row.method] = None
    return [f"the paper quotes {', '.join(methods)} from {origin}" for origin, methods in quoted.items()]


def errors_of(specification: Specification, tables: Mapping[str, Specification]) -> list[str]:
    """What a table of the paper has wrong, found in its numbers and those of the paper's other ``tables``."""
    paper = Published(specification.name)
    columns = [column for entries in specification.columns.values() for column in entries if isinstance(column, Column)]
    found = []
    for row, column in product(specification.rows, columns):
        number = paper.number(row, column)
        if number is not None and number.is_wrong:
            found.append(
                f"{row}, {column.name}: the paper prints {number.printed:.1f}; the mean of its own numbers is "
                f"{number.mean:.1f}, which stands here"
            )
    for theirs in tables.values():
        if theirs.seeds and specification.seeds and theirs.seeds < specification.seeds:
            found += _repeated(specification, theirs)
    return found


def _repeated(specification: Specification, theirs: Specification) -> list[str]:
    """Rows that claim more runs than a row of another table with the very same numbers."""
    found, here, there = [], Published(specification.name), Published(theirs.name)
    for row, row_there in product(specification.rows, theirs.rows):
        line, line_there = here.line(row), there.line(row_there)
        if line is None or line_there is None:
            continue
        numbers = [column for column in line.index if column.endswith("_pm") or f"{column}_pm" in line]
        if set(numbers) <= set(line_there.index) and (line[numbers] == line_there[numbers]).all():
            found.append(
                f"{row}: the paper's number of runs is {specification.seeds} here and {theirs.seeds} in {theirs.name}, whose "
                f"row {row_there} has the same {len(numbers)} numbers, digit for digit"
            )
    return found
