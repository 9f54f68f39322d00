"""What the numbers of a table lead to: the making of the cell that they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.reporting import cells
from pipelines.reporting.page.making import Making
from pipelines.reporting.printing import MEASURED, NUMBERS, column_name, row_labels
from pipelines.reporting.results import RunResult
from pipelines.reporting.specification import Specification, specifications
from pipelines.reporting.tables import Cells


@dataclass(frozen=True)
class Links:
    """Of one table. ``words``: how many columns name a row; ``columns``: the benchmark by what a column is called; ``keys``: what is
    led to, by a row's words and the benchmark."""

    words: int
    columns: Mapping[str, str]
    keys: Mapping[tuple[tuple[str, ...], str], str]

    def of(self, header: Sequence[str], cells: Sequence[str]) -> list[str]:
        """Of each cell of a printed row the key that it leads to, "" for words and for the paper's numbers."""
        named = dict(zip(header, cells, strict=True))
        if named.get(NUMBERS) == "paper":
            return [""] * len(cells)
        row, measured = tuple(cells[: self.words]), named.get(MEASURED)
        benchmarks = (self.columns.get(measured or name, "") for name in header)
        return [
            self.keys.get((row, benchmark), "") if n >= self.words and any(map(str.isdigit, cell)) else ""
            for n, (cell, benchmark) in enumerate(zip(cells, benchmarks, strict=True))
        ]


def links_of(name: str, runs: Sequence[RunResult], makings: Sequence[Making]) -> Links | None:
    """Of a table by its name; None where it is none of a study's."""
    if name == cells.NAME:
        return _links(cells.specification_of(runs), runs, makings)
    known = specifications().get(name)
    return _links(known, runs, makings) if known else None


def _links(specification: Specification, runs: Sequence[RunResult], makings: Sequence[Making]) -> Links:
    found = Cells(specification, runs)
    made: dict[Path, str] = {run.folder: making.key for making in makings for run in making.runs}
    columns = {column_name(specification, found.columns, column): benchmark for benchmark, column in found.columns}
    keys = {
        (tuple(row_labels(specification, row)), benchmark): made[members[0].folder]
        for row in specification.rows
        for benchmark in specification.columns
        if (members := found.of(row, benchmark))
    }
    return Links(len(specification.labels), columns | {name: name for name in specification.columns}, keys)
