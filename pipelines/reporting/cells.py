"""The cells of one of the paper's tables: a study's runs by row and benchmark, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.reporting.comparable import members_of
from pipelines.reporting.results import RunResult, check_measured_alike, find_results, read_run
from pipelines.reporting.specification import Row, Specification


def read_study(root: Path) -> list[RunResult]:
    """All finished runs below a folder, of whatever cells. Raises DataError when there is none, or naming a bad file."""
    return [read_run(folder) for folder in find_results(root)]


class Cells:
    """The runs that a table shows, or compares with.

    Raises:
        DataError: see ``make_study_table``.
    """

    def __init__(self, specification: Specification, runs: Sequence[RunResult]) -> None:
        self._of = members_of(specification, runs)
        for benchmark in specification.columns:
            check_measured_alike(self.on(benchmark))
        self.all = [run for benchmark in specification.columns for run in self.on(benchmark)]

    @property
    def scale(self) -> str | None:
        return self.all[0].info.scale if self.all else None

    def of(self, row: Row, benchmark: str) -> list[RunResult]:
        return self._of[row, benchmark]

    def on(self, benchmark: str) -> list[RunResult]:
        """Each once: a run may be of two rows."""
        return list(dict.fromkeys(run for (_, on), members in self._of.items() if on == benchmark for run in members))

    def averages(self, benchmark: str) -> Mapping[str, list[str]]:
        runs = self.on(benchmark)
        return runs[0].info.averages if runs else {}
