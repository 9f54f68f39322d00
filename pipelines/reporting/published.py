"""The paper's own numbers (``paper/*.csv``), its averages recomputed, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import pandas as pd

from pipelines.reporting.names import PAPER
from pipelines.reporting.specification import Column, Row, Specification

_WRONG = 0.1  # points: rounding a mean and what it is the mean of to one digit explains so much


@dataclass(frozen=True)
class Number:
    """A number of the paper in percent. ``printed``: as the paper prints it; ``mean``: recomputed where the number is an average;
    ``pm``: its ±, if it has one."""

    mean: float
    pm: float | None
    printed: float

    @property
    def is_wrong(self) -> bool:
        return abs(self.mean - self.printed) > _WRONG


class Published:
    """The numbers of one of the paper's tables, by row and column of its specification; none for a table that is not the paper's."""

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
        """The row's line of the CSV, where models are the instruct ones and the ablation's "off" is blank."""
        if self._lines.empty:
            return None
        lines = self._lines[(self._lines["model"] == f"{row.model}-instruct") & (self._lines["method"] == row.method)]
        wanted = {"empg": row.empg or "off", "zeta": row.zeta, "k": row.k}
        for name in lines.columns.intersection(list(wanted)):
            values = lines[name].fillna("off") if name == "empg" else lines[name]
            lines = lines[values == wanted[name]]
        return None if lines.empty else lines.iloc[0]


def quoted_in(specification: Specification) -> list[str]:
    """Sentences that say which rows the paper quotes from elsewhere."""
    paper = Published(specification.name)
    lines = [(row, line) for row in specification.rows if (line := paper.line(row)) is not None]
    quoted: dict[str, dict[str, None]] = {}
    for row, line in lines:
        if (origin := line.get("origin", "EMPG")) != "EMPG":
            quoted.setdefault(str(origin), {})[row.method] = None
    return [f"the paper quotes {', '.join(methods)} from {origin}" for origin, methods in quoted.items()]


def errors_of(specification: Specification, tables: Mapping[str, Specification]) -> list[str]:
    """Sentences that say what a table of the paper has wrong, by its own numbers and those of the paper's other ``tables``."""
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
    """Sentences that name rows with more runs than a row of another table that has the very same numbers."""
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
