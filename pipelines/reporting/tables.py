"""The table of a comparison: every measure per cell, overall, averaged and per task type, and paired differences between
arms."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pipelines.reporting.comparable import check_compared
from pipelines.reporting.results import RunResult, algorithms_of, by_cell, outcomes
from pipelines.reporting.statistics import (
    Difference,
    Estimate,
    corrected,
    estimate,
    paired_difference,
    seed_means,
    verdict,
)


@dataclass(frozen=True)
class Result:
    """The trained policy's mean, and the warm start's on the same tasks."""

    final: Estimate
    start: float


@dataclass(frozen=True)
class Measured:
    """One measure of one cell: on the panel, averaged over types (by the average's name), and per task type."""

    all: Result
    averages: Mapping[str, Result]
    types: Mapping[str, Result]


@dataclass(frozen=True)
class Row:
    """One cell; ``of``: by measure."""

    cell: str
    algorithm: str
    arm: str
    of: Mapping[str, Measured]


@dataclass(frozen=True)
class Comparison:
    """``treatment`` against ``baseline`` of one algorithm by one measure; ``corrected``: Holm's p over the table's
    comparisons."""

    measure: str
    algorithm: str
    treatment: str
    baseline: str
    difference: Difference
    corrected: float

    @property
    def verdict(self) -> str:
        return verdict(self.difference, self.corrected)


@dataclass(frozen=True)
class Table:
    """``measures``: their names by the columns of an evaluation, success first. ``remarks``: what a reader must know."""

    title: str
    measures: Mapping[str, str]
    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...]
    remarks: tuple[str, ...]


def make_table(runs: Sequence[RunResult]) -> Table:
    """The table of all runs."""
    measures = dict(sorted(runs[0].info.measures.items(), key=lambda item: item[0] != "success"))
    rows = tuple(_row(cell, members, measures) for cell, members in by_cell(runs).items())
    return Table(_title(runs, measures), measures, rows, _comparisons(runs, measures), tuple(runs[0].info.remarks))


def _comparisons(runs: Sequence[RunResult], measures: Collection[str]) -> tuple[Comparison, ...]:
    """Every arm with ``off`` of its algorithm, over the seeds that both have, by every measure."""
    pairs = []
    for measure in measures:
        for algorithm in algorithms_of(runs):
            arms: dict[str, dict[int, RunResult]] = {}
            for run in runs:
                if run.info.algorithm == algorithm:
                    arms.setdefault(run.info.arm, {})[run.seed] = run
            baseline = arms.pop("off", {})
            for arm, members in arms.items():
                seeds = sorted(members.keys() & baseline.keys())
                if seeds:
                    check_compared(members[seeds[0]], baseline[seeds[0]])
                    both, _ = outcomes([group[s] for group in (members, baseline) for s in seeds], measure)
                    difference = paired_difference(both[: len(seeds)], both[len(seeds) :])
                    pairs.append((measure, algorithm, arm, difference))
    return tuple(
        Comparison(measure, algorithm, arm, "off", difference, p)
        for (measure, algorithm, arm, difference), p in zip(pairs, corrected([d for *_, d in pairs]), strict=True)
    )


def _row(cell: str, runs: Sequence[RunResult], measures: Collection[str]) -> Row:
    return Row(
        cell, runs[0].info.algorithm, runs[0].info.arm, {measure: _measured(runs, measure) for measure in measures}
    )


def _measured(runs: Sequence[RunResult], measure: str) -> Measured:
    """An average some of whose types were not played is left out: its name would promise them."""
    types = sorted(runs[0].evaluations["task_type"].unique())
    averages = {
        name: members for name, members in runs[0].info.averages.items() if members and set(members) <= set(types)
    }

    def result(of: Collection[str] | None = None) -> Result:
        (final, kinds), (start, _) = outcomes(runs, measure, types=of), outcomes(runs, measure, 0, of)
        weighed = None if of is None else kinds  # on the panel every task weighs the same
        return Result(estimate(final, weighed), float(seed_means(start, weighed).mean()))

    return Measured(
        result(), {name: result(of) for name, of in averages.items()}, {kind: result([kind]) for kind in types}
    )


def _title(runs: Sequence[RunResult], measures: Mapping[str, str]) -> str:
    run, tasks = runs[0], len(outcomes(runs[:1], "success")[1])
    names = " and ".join(measures.values())
    title = f"{run.info.benchmark} at {run.info.scale} scale, {names} on {tasks} tasks"
    if any(r.info.stand_in for r in runs):
        title += " — stand-in models made here: not comparable with the paper's numbers"
    return title
