"""The numbers of a table from the runs of a study: those of whatever cells are there, and which cells are not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from pipelines.reporting.comparable import members_of, replicate_of, seeds_of_both
from pipelines.reporting.deviations import Deviation, Run, Settings, declared
from pipelines.reporting.published import Number, Published, errors_of, quoted_in
from pipelines.reporting.results import RunResult, check_measured_alike, machines_note, machines_of, outcomes, starts_of
from pipelines.reporting.specification import Column, Row, Specification, specifications
from pipelines.reporting.statistics import Difference, Estimate, estimate, holm, paired_difference, verdict

Shown = tuple[str, Column]  # benchmark and column


class Cells:
    """The runs that a table shows or compares with, by row and benchmark.

    Raises:
        DataError: see ``make_table``.
    """

    def __init__(self, specification: Specification, runs: Sequence[RunResult]) -> None:
        self._specification = specification
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
        """The benchmark's runs, each once: a run may be of two rows."""
        return list(dict.fromkeys(run for (_, on), members in self._of.items() if on == benchmark for run in members))

    @property
    def columns(self) -> tuple[Shown, ...]:
        """What the table shows of each benchmark."""
        specification = self._specification
        return tuple(
            (benchmark, column)
            for benchmark in specification.columns
            for column in specification.columns_of(benchmark, self.averages(benchmark))
        )

    def averages(self, benchmark: str) -> Mapping[str, list[str]]:
        runs = self.on(benchmark)
        return runs[0].info.averages if runs else {}


@dataclass(frozen=True, eq=False)
class Line:
    """A row: its runs by benchmark, sorted by seed, and its numbers. What was not run is in neither."""

    row: Row
    runs: Mapping[str, Sequence[RunResult]]
    numbers: Mapping[Shown, Estimate]


@dataclass(frozen=True)
class Contrast:
    """A row against its baseline; ``corrected``: Holm's p over the table's contrasts; ``detectable``: the true difference that such a
    study would tell from 0 among them."""

    row: Row
    shown: Shown
    difference: Difference
    corrected: float
    detectable: float

    @property
    def verdict(self) -> str:
        return verdict(self.difference, self.corrected)


@dataclass(frozen=True, eq=False)
class StudyTable:
    """``scale``: None where no cell was run. ``published``: the paper's numbers, which stand beside ours at the paper's scale
    alone. ``deviations`` from the paper's settings: each with where it holds; None where nobody asked for them."""

    specification: Specification
    scale: str | None
    stand_in: bool
    columns: tuple[Shown, ...]
    lines: tuple[Line, ...]
    contrasts: tuple[Contrast, ...]
    published: Mapping[tuple[Row, Column], Number]
    deviations: Mapping[Deviation, str] | None
    missing: tuple[str, ...]
    remarks: tuple[str, ...]


def make_table(specification: Specification, runs: Sequence[RunResult], settings: Settings | None = None) -> StudyTable:
    """The table; runs that are none of its rows are left out. ``settings``: the paper's, to declare deviations from.

    Raises:
        DataError: two runs are the same row and differ in more than the seed, or two of the table's runs were evaluated on
            different panels, measured differently, or are of different scales.
    """
    cells = Cells(specification, runs)
    columns = cells.columns
    lines = tuple(_line(row, cells, columns) for row in specification.rows)
    stand_in = any(run.info.stand_in for run in cells.all)
    published = _published(specification, columns) if cells.scale == "paper" and not stand_in else {}
    of_the_paper = [*quoted_in(specification), *errors_of(specification, specifications())] if published else []
    return StudyTable(
        specification,
        cells.scale,
        stand_in,
        columns,
        lines,
        _contrasts(lines, cells, columns),
        published,
        None if settings is None else declared(_declaring(lines), settings),
        tuple(_missing(lines, cells, list(specification.columns))),
        (*_remarks(lines, cells, columns), *of_the_paper),
    )


def _line(row: Row, cells: Cells, columns: Sequence[Shown]) -> Line:
    numbers = {}
    for shown in columns:
        if (runs := cells.of(row, shown[0])) and (parts := _parts(runs[0], shown[1].of)) is not None:
            at = 0 if shown[1].at == "start" else None
            values, kinds = outcomes(runs, shown[1].measure, at, parts)
            numbers[shown] = estimate(values, _weighed(runs[0], shown[1].of, kinds), starts_of(runs))
    return Line(row, {benchmark: runs for benchmark, _ in columns if (runs := cells.of(row, benchmark))}, numbers)


def _parts(run: RunResult, of: str) -> list[str] | None:
    """The task types that a column is made of; None where not all of them are on the panel."""
    played = run.evaluations["task_type"].unique().tolist()
    parts = played if of == "all" else run.info.averages.get(of, [of])
    return parts if parts and set(parts) <= set(played) else None


def _weighed(run: RunResult, of: str, kinds: list[str]) -> list[str] | None:
    """The tasks' types for ``estimate`` where a column is an average, in which every type weighs the same; elsewhere None, for
    every task does."""
    return kinds if of in run.info.averages else None


def _contrasts(lines: Sequence[Line], cells: Cells, columns: Sequence[Shown]) -> tuple[Contrast, ...]:
    found: list[tuple[Row, Shown, Difference]] = []
    for line in lines:
        for shown in columns:
            if shown[1].compared and shown in line.numbers and (baseline := line.row.baseline) is not None:
                difference = _difference(line.runs[shown[0]], cells.of(baseline, shown[0]), shown[1])
                found += [(line.row, shown, difference)] if difference else []
    tested = holm([difference.p for *_, difference in found])
    return tuple(
        Contrast(row, shown, difference, p, difference.error.detectable(len(found)))
        for (row, shown, difference), p in zip(found, tested, strict=True)
    )


def _difference(treatment: Sequence[RunResult], baseline: Sequence[RunResult], column: Column) -> Difference | None:
    """The difference over the warm starts and seeds that both have; None where they share none."""
    one, other = seeds_of_both(treatment, baseline)
    if not one:
        return None
    values, kinds = outcomes([*one, *other], column.measure, types=_parts(treatment[0], column.of))
    weighed = _weighed(treatment[0], column.of, kinds)
    return paired_difference(values[: len(one)], values[len(one) :], weighed, starts_of(one))


def _published(specification: Specification, columns: Sequence[Shown]) -> dict[tuple[Row, Column], Number]:
    paper = Published(specification.name)
    pairs = [(row, column) for row in specification.rows for _, column in columns]
    return {pair: number for pair in pairs if (number := paper.number(*pair)) is not None}


def _declaring(lines: Sequence[Line]) -> Iterator[Run]:
    """One run of every cell."""
    for line in lines:
        for runs in line.runs.values():
            yield str(line.row), line.row.method, runs[0].config


def _missing(lines: Sequence[Line], cells: Cells, benchmarks: Sequence[str]) -> Iterator[str]:
    """In words, the rows that were not run with the benchmarks, and the seeds of a row that other rows have."""
    rows = [line.row for line in lines]
    baselines = dict.fromkeys(row.baseline for row in rows if row.baseline and row.baseline not in rows)
    for row in [*rows, *baselines]:
        if lacking := [benchmark for benchmark in benchmarks if not cells.of(row, benchmark)]:
            yield f"{row} on {', '.join(lacking)}" + (", which is compared with" if row in baselines else "")
    for row, benchmark in product([*rows, *baselines], benchmarks):
        seeds = {replicate_of(run) for run in cells.of(row, benchmark)}
        if seeds and (fewer := {replicate_of(run) for run in cells.on(benchmark)} - seeds):
            several = len({start for start, _ in [*seeds, *fewer]}) > 1
            for start in sorted({start for start, _ in fewer}):
                these = ", ".join(str(seed) for of, seed in sorted(fewer) if of == start)
                yield f"seed {these}{f' of warm start {start}' if several else ''} of {row} on {benchmark}"


def _remarks(lines: Sequence[Line], cells: Cells, columns: Sequence[Shown]) -> Iterator[str]:
    """The benchmarks' remarks on their results, each once; then what a reader could take for a number, or for two, and is not."""
    yield from dict.fromkeys(remark for run in cells.all for remark in run.info.remarks)
    yield from _machines(lines, cells)
    for benchmark, column in columns:
        if (runs := cells.on(benchmark)) and _parts(runs[0], column.of) is None:
            yield f"the panel of {benchmark} has no task of {column.of.replace('_', ' ')}, or not of all that it averages"
    if any(run.info.stand_in and not run.config["training"]["iterations"] for run in cells.all):
        yield "a stand-in without training is its warm start"
    for one, other in combinations(lines, 2):
        same = [benchmark for benchmark, runs in one.runs.items() if other.runs.get(benchmark) == runs]
        if same:
            yield f"{one.row} and {other.row} are the same runs on {', '.join(same)}"


def _machines(lines: Sequence[Line], cells: Cells) -> Iterator[str]:
    """That the runs are of several kinds of machine, and which differences are taken across them."""
    if note := machines_note(cells.all):
        yield note
    for line in lines:
        for benchmark, runs in line.runs.items():
            baseline = cells.of(line.row.baseline, benchmark) if line.row.baseline else []
            pairs = [(run, other) for run in runs for other in baseline if replicate_of(run) == replicate_of(other)]
            if across := [str(run.seed) for run, other in pairs if machines_of(run) != machines_of(other)]:
                yield f"{line.row} on {benchmark} is paired with EMPG off across kinds of machine (seed {', '.join(across)})"
