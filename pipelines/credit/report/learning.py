"""Whether credit predicts learning: over the cells of a tournament, a method's scores against what its training gained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipelines.credit.report.results import ALL, CreditResult
from pipelines.credit.scores import Vector, percentiles
from pipelines.errors import DataError
from pipelines.reporting.comparable import check_one_cell, check_one_scale
from pipelines.reporting.results import RunResult
from pipelines.reporting.statistics import Matrix

PREDICTORS = {"rank_corrected": 1, "sign": 1, "unexplained": -1, "gradient": 1}  # −1: less is better
OUTCOMES = ("gain", "rollouts")
RESAMPLES, LEAST = 2_000, 4  # methods, below which nothing is ranked


@dataclass(frozen=True)
class Cell:
    """A method on a benchmark. ``gain``: of the held-out success, from before training to its end; ``rollouts``: the success of the
    last half of the training rollouts. Both are shares, means over ``seeds`` runs. ``scores``: of its credit, more is better."""

    benchmark: str
    method: str
    seeds: int
    gain: float
    rollouts: float
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Correlation:
    """Spearman's, over the ``methods`` of a benchmark, or its mean over all (``ALL``), with its 95 % interval by a bootstrap over
    methods. NaN: too few methods, or all alike; and the mean with one benchmark of which nothing is known."""

    benchmark: str
    score: str
    outcome: str
    methods: int
    value: float
    low: float
    high: float


def cells_of(study: Sequence[CreditResult], runs: Sequence[RunResult]) -> list[Cell]:
    """The methods that both were trained and scored, by benchmark.

    Raises:
        DataError: there is none; a method's runs on a benchmark differ in more than their seeds, or runs in scale; a benchmark was
            scored twice.
    """
    trained: dict[tuple[str, str], list[RunResult]] = {}
    for run in runs:
        trained.setdefault((run.info.benchmark, method_of(run)), []).append(run)
    for (benchmark, method), own in trained.items():
        check_one_cell(own, f"method ({method} on {benchmark})")
    check_one_scale(runs)
    _check_scored_once([result for result in study if not trained.keys().isdisjoint(_methods(result))])
    cells = [_cell(result, key[1], trained[key]) for result in study for key in _methods(result) if key in trained]
    if not cells:
        raise DataError("no method was both scored and trained: the tournament and the scores are of other benchmarks")
    return cells


def _methods(result: CreditResult) -> list[tuple[str, str]]:
    return [(result.about.run.benchmark, method) for method in result.methods]


def _check_scored_once(study: Sequence[CreditResult]) -> None:
    first: dict[str, CreditResult] = {}
    for result in study:
        other = first.setdefault(result.about.run.benchmark, result)
        if other is not result:
            raise DataError(
                f"{other.title} and {result.title} were both scored: a method has one score on a benchmark, report one of them"
            )


def method_of(run: RunResult) -> str:
    """As in the scores."""
    return f"{run.config['algorithm']['estimator']['name']}-{run.config['empg']['arm']}"


def correlations(cells: Sequence[Cell], *, seed: int = 0) -> list[Correlation]:
    """Of every score and outcome, by benchmark, then the mean of the benchmarks."""
    benchmarks = list(dict.fromkeys(cell.benchmark for cell in cells))
    tables = [_table([cell for cell in cells if cell.benchmark == name]) for name in benchmarks]
    found = []
    for score in PREDICTORS:
        for outcome in OUTCOMES:
            columns = [table[[score, outcome]].dropna() for table in tables]
            values = [_spearman(column.to_numpy()) for column in columns]
            draws = _drawn(columns, seed)
            counts = [len(column) for column in columns]
            parts = zip(
                [*benchmarks, ALL], [*counts, min(counts)], [*values, float(np.mean(values))], draws, strict=True
            )
            for name, count, value, of in parts:
                (low,), (high,) = percentiles(np.array(of)[:, None])
                found.append(Correlation(name, score, outcome, count, value, float(low), float(high)))
    return found


def without_one(cells: Sequence[Cell], score: str, outcome: str) -> dict[str, float]:
    """By estimator, what the mean correlation of the benchmarks is without its methods: whether a finding hangs on one of them."""
    benchmarks = {cell.benchmark: [other for other in cells if other.benchmark == cell.benchmark] for cell in cells}

    def mean_without(estimator: str) -> float:
        kept = (_table([cell for cell in own if _estimator(cell) != estimator]) for own in benchmarks.values())
        return float(np.mean([_spearman(table[[score, outcome]].dropna().to_numpy()) for table in kept]))

    return {estimator: mean_without(estimator) for estimator in sorted({*map(_estimator, cells)})}


def _estimator(cell: Cell) -> str:
    return cell.method.partition("-")[0]


def _cell(result: CreditResult, method: str, runs: Sequence[RunResult]) -> Cell:
    of = result.of(ALL, ALL)
    values = of[of["method"] == method].set_index("score")["value"]
    scores = {name: sign * float(values[name]) for name, sign in PREDICTORS.items()}
    gain, rollouts = (float(np.mean([take(run) for run in runs])) for take in (gain_of, rollouts_of))
    return Cell(result.about.run.benchmark, method, len(runs), gain, rollouts, scores)


def gain_of(run: RunResult) -> float:
    success = run.evaluations.groupby("iteration")["success"].mean()
    return float(success[run.last] - success[success.index.min()])


def rollouts_of(run: RunResult) -> float:
    success = run.metrics.sort_values("iteration")["rollout/success"].dropna()
    return float(success[len(success) // 2 :].mean())


def _table(cells: Sequence[Cell]) -> pd.DataFrame:
    rows = [{"gain": cell.gain, "rollouts": cell.rollouts, **cell.scores} for cell in cells]
    return pd.DataFrame(rows, index=[cell.method for cell in cells], columns=[*OUTCOMES, *PREDICTORS])


def _drawn(tables: Sequence[pd.DataFrame], seed: int) -> list[Vector]:
    """Of each table and of their mean, [RESAMPLES]: a draw takes the same methods of every benchmark."""
    methods = sorted({method for table in tables for method in table.index})
    rng = np.random.Generator(np.random.Philox(key=seed))
    draws = rng.integers(len(methods), size=(RESAMPLES, len(methods)))
    places = [table.index.get_indexer(methods) for table in tables]
    rows = [
        [_spearman(table.to_numpy()[at[at >= 0]]) for at in place[draws]]
        for table, place in zip(tables, places, strict=True)
    ]
    return [*map(np.array, rows), np.mean(rows, axis=0)]


def _spearman(pairs: Matrix) -> float:
    from scipy.stats import rankdata

    if len(pairs) < LEAST:
        return float("nan")
    ranks = rankdata(pairs, axis=0)
    ranks -= ranks.mean(0)
    length = np.sqrt((ranks**2).sum(0).prod())
    return float(ranks.prod(1).sum() / length) if length > 0 else float("nan")
