"""How well estimates of credit agree with the oracle's A, step by step, each score with an interval by a bootstrap over tasks.

Every score is a function of sums over tasks, so that drawing tasks anew is a product of matrices. An estimate is taken as it is, a
constant one too: it ranks nothing (0), and a step that it gives 0 has the right sign half the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations

import numpy as np
import numpy.typing as npt

from pipelines.credit.agreement import Matrix, rank_correlations
from pipelines.credit.truth import Truth
from pipelines.reporting.statistics import holm

Vector = npt.NDArray[np.float64]
Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
RESAMPLES = 40_000  # the least p is 2/40,001: times the 528 pairs of 33 methods, as Holm has it, still below .05
RELIABLE = 0.9
_DECIMALS = 9  # equal returns, summed in other orders, are equal in rank
# Decimals of a difference: estimates are float32, and of two that are multiples of each other one is no better.
_TOLD_APART = 6


def _signs(estimate_NM: Matrix, truth: Truth) -> tuple[Matrix, Matrix]:
    """Of each step: 1, ½ or 0 for a sign that is right, missing or wrong; and whether the truth has one beyond its error."""
    known = ((truth.low > 0) | (truth.high < 0))[:, None]
    right = (1 + np.sign(estimate_NM) * np.sign(truth.mean)[:, None]) / 2
    return np.where(known, right, 0.0), known.astype(np.float64)


def task_sums(estimate_NM: Matrix, truth: Truth, tasks: Labels | None = None) -> dict[str, Array]:
    """What every score is made of, by name: sums over tasks [T, M], or [T, 1] where no estimate takes part, and, of the gradients'
    products, over pairs of tasks [T, T, M]. ``tasks``: the sorted labels of the T tasks, one of which may have no step here; by
    default those of ``truth``."""
    tasks = np.unique(truth.tasks) if tasks is None else tasks
    places = np.searchsorted(tasks, truth.tasks)
    sums = {name: summed(values, places, len(tasks)) for name, values in _of_steps(estimate_NM, truth).items()}
    _, first = np.unique(truth.groups, return_index=True)
    sums |= {name: summed(values, places[first], len(tasks)) for name, values in _of_groups(estimate_NM, truth).items()}
    return sums | _of_pairs(estimate_NM, truth, places, len(tasks))


def _of_steps(e: Matrix, truth: Truth) -> dict[str, Array]:
    a, L = truth.mean[:, None], truth.lengths[:, None]
    right, known = _signs(e, truth)
    return {
        "n": np.ones_like(a), "e": e, "A": a, "L": L, "ee": e * e, "eA": e * a, "AA": a * a, "LL": L * L, "eL": e * L,
        "AL": a * L, "noise": truth.se[:, None] ** 2, "right": right, "known": known,
    }  # fmt: skip


def _of_groups(e: Matrix, truth: Truth) -> dict[str, Array]:
    """A group's ranking counts once, however many of its steps were measured."""
    A, first, second = (x.round(_DECIMALS) for x in (truth.mean, truth.first, truth.second))
    ranks = rank_correlations(np.column_stack([A, e]), truth.groups)
    halves = rank_correlations(np.column_stack([first, second]), truth.groups)
    ranked = ~np.isnan(ranks[:, :1, 0])
    return {
        "ranked": ranked.astype(np.float64),
        "rank": np.where(ranked, np.nan_to_num(ranks[:, 1:, 0]), 0.0),
        "halves": np.where(ranked, np.nan_to_num(halves[:, 0, 1:]), 0.0),
    }


def _of_pairs(e: Matrix, truth: Truth, places: Labels, count: int) -> dict[str, Array]:
    """Of Σ e·s, Σ A·s and the halves' Σ A₁·s and Σ A₂·s, where s is a step's score: what each two tasks give to their products."""
    if truth.products is None:
        return {}
    K, indicator = truth.products, np.zeros((len(places), count))
    indicator[np.arange(len(places)), places] = 1.0

    def product(left: Matrix, right: Matrix) -> Array:
        pairs = zip((left * np.ones_like(right)).T, (right * np.ones_like(left)).T, strict=True)
        return np.stack([(indicator * x[:, None]).T @ K @ (indicator * y[:, None]) for x, y in pairs], axis=-1)

    A, first, second = (x[:, None] for x in (truth.mean, truth.first, truth.second))
    return {"e·A": product(e, A), "e·e": product(e, e), "A·A": product(first, second)}


def summed(values: Array, places: Labels, count: int) -> Array:
    """The rows of [N, M] that belong to each of ``count`` tasks, added up: [count, M]."""
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, places, values)
    return sums


def _drawn(weights: Matrix, sums: Array) -> Array:
    """Of draws in which task t stands ``weights[r, t]`` times: [R, M]."""
    if sums.ndim == 2:
        drawn: Array = weights @ sums
        return drawn
    return np.stack([((weights @ of_one) * weights).sum(1) for of_one in np.moveaxis(sums, -1, 0)], axis=-1)


Sums = Mapping[str, Array]


class _Draws(Sums):
    """The ``sums`` of draws of tasks, each made when a score first asks for it: most scores ask for few."""

    def __init__(self, weights: Matrix, sums: Sums) -> None:
        self._weights, self._sums = weights, sums
        self._made: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        if name not in self._made:
            self._made[name] = _drawn(self._weights, self._sums[name])
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._sums

    def __iter__(self) -> Iterator[str]:
        return iter(self._sums)

    def __len__(self) -> int:
        return len(self._sums)


def _rank(s: Sums) -> Array:
    return s["rank"] / s["ranked"]


def _reliability(s: Sums) -> Array:
    """Of the mean over all continuations, from the correlation r of two halves' means: 2r / (1 + r) (Spearman and Brown)."""
    r = (s["halves"] / s["ranked"]).clip(0)
    whole: Array = 2 * r / (1 + r)
    return whole


def best_scale(s: Sums) -> Array:
    """The best factor that does not turn the estimate round; 0 for one that is 0."""
    scale: Array = np.divide(s["eA"].clip(0), s["ee"], out=np.zeros_like(s["ee"]), where=s["ee"] > 0)
    return scale


def mean_squared_error(s: Sums, scale: Array | float = 1.0) -> Array:
    """E (scale·e − A)², without what the oracle's own error adds to it."""
    return (scale**2 * s["ee"] - 2 * scale * s["eA"] + s["AA"] - s["noise"]) / s["n"]


def _unexplained(s: Sums) -> Array:
    """The error after the best scale as a share of A's mean square: 1 for an estimate that says nothing, 0 for a perfect one. NaN:
    all of A's mean square may be the oracle's error."""
    of_A = mean_squared_error(s, 0.0)
    return mean_squared_error(s, best_scale(s)) / np.where(of_A > 0, of_A, np.nan)


def _rank_corrected(s: Sums) -> Array:
    """NaN where the oracle ranks nothing reliably."""
    reliability = _reliability(s)
    return _rank(s) / np.sqrt(np.where(reliability > 0, reliability, np.nan))


def _length_bias(s: Sums) -> Array:
    """Pearson's correlation of the error after the best scale with the length of the step's episode; what the oracle's own error adds
    to the spread is taken out. NaN: all of the spread may be that."""
    b, n = best_scale(s), s["n"]
    d, dd, dL = b * s["e"] - s["A"], b**2 * s["ee"] - 2 * b * s["eA"] + s["AA"] - s["noise"], b * s["eL"] - s["AL"]
    spread = np.sqrt((n * dd - d**2).clip(0) * (n * s["LL"] - s["L"] ** 2).clip(0))
    bias: Array = ((n * dL - d * s["L"]) / np.where(spread > 0, spread, np.nan)).clip(-1, 1)
    return bias


def _gradient(s: Sums) -> Array:
    """Cosine of Σ e·s and Σ A·s, where s is the gradient of a step's log-probability in all weights. The oracle's length is that of
    its halves' product, whose errors are independent. 0 for an estimate that moves nothing; NaN: the products were not measured, or
    the oracle's own gradient may be all error."""
    if "e·A" not in s:
        return np.full_like(s["e"], np.nan)
    of_A, of_e = s["A·A"], s["e·e"]
    length = np.sqrt(np.where(of_A > 0, of_A, np.nan) * np.where(of_e > 0, of_e, 1.0))
    cosine: Array = np.where(of_e > 0, s["e·A"], 0.0) / length
    return cosine.clip(-1, 1)


SCORES: dict[str, Callable[[Sums], Array]] = {
    "rank": _rank,
    "rank_corrected": _rank_corrected,
    "sign": lambda s: s["right"] / s["known"],
    "mse": mean_squared_error,
    "unexplained": _unexplained,
    "gradient": _gradient,
    "length_bias": _length_bias,
}
"""Rank correlation with A within tasks, mean over the tasks in which A varies; the same without the attenuation by the oracle's
error; share of right signs, of steps whose A differs from 0 beyond its error; see the functions for the others."""


@dataclass(frozen=True, eq=False)
class Scores:
    """``values`` [M] by score, and ``draws`` [resamples, M] of each: the same tasks are drawn for every method. ``reliability`` of the
    oracle's ranking within tasks, with its draws."""

    methods: tuple[str, ...]
    values: Mapping[str, Vector]
    draws: Mapping[str, Matrix]
    reliability: float
    reliabilities: Vector

    def interval(self, score: str) -> tuple[Vector, Vector]:
        """95 %, by percentiles of the draws in which the score is defined; NaN: it is in none."""
        return percentiles(self.draws[score])


def score(
    estimates: Mapping[str, Vector],
    truth: Truth,
    *,
    names: Sequence[str] = tuple(SCORES),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Scores:
    """Each method's estimates [N], by its name, against the oracle, by the scores ``names``."""
    truth = truth if "gradient" in names else replace(truth, products=None)
    sums = task_sums(np.column_stack(list(estimates.values())), truth)
    return score_sums(tuple(estimates), sums, resamples, seed, names)


def score_sums(
    methods: tuple[str, ...],
    sums: Sums,
    resamples: int = RESAMPLES,
    seed: int = 0,
    names: Sequence[str] = tuple(SCORES),
) -> Scores:
    """The same of sums over tasks, which may be those of several drawings of members added up."""
    tasks = len(sums["n"])
    whole, drawn = (_Draws(weights, sums) for weights in (np.ones((1, tasks)), drawn_tasks(tasks, resamples, seed)))
    with np.errstate(invalid="ignore", divide="ignore"):
        values, draws = ({name: SCORES[name](s) + 0.0 * s["e"] for name in names} for s in (whole, drawn))
        values = {name: value[0] for name, value in values.items()}
        return Scores(methods, values, draws, float(_reliability(whole)[0, 0]), _reliability(drawn)[:, 0])


@lru_cache(maxsize=2)
def drawn_tasks(tasks: int, resamples: int, seed: int) -> Matrix:
    """How often each task stands in a draw: [resamples, tasks], which nobody may change: it is drawn once for all that is scored."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    drawn = rng.multinomial(tasks, np.full(tasks, 1 / tasks), resamples).astype(np.float64)
    drawn.flags.writeable = False
    return drawn


def continuations_needed(reliability: float, continuations: int) -> float:
    """How many continuations make the oracle's ranking ``RELIABLE``, from its reliability with so many (Spearman and Brown)."""
    if not reliability > 0:
        return float("nan")
    return continuations * RELIABLE * (1 - reliability) / (reliability * (1 - RELIABLE))


@dataclass(frozen=True)
class Difference:
    """``method`` − ``other`` in one score, with its 95 % interval; ``p``, two-sided, by Holm over all pairs of the score."""

    method: str
    other: str
    mean: float
    low: float
    high: float
    p: float


def differences(scores: Scores, name: str) -> list[Difference]:
    """Of every two methods in one score, paired: both are of the same drawn tasks."""
    pairs = list(combinations(range(len(scores.methods)), 2))
    drawn = [(scores.draws[name][:, i] - scores.draws[name][:, j]).round(_TOLD_APART) for i, j in pairs]
    corrected = holm([_p(d) for d in drawn])
    found = []
    for (i, j), d, p in zip(pairs, drawn, corrected, strict=True):
        low, high = percentiles(d)
        mean = float((scores.values[name][i] - scores.values[name][j]).round(_TOLD_APART))
        found.append(Difference(scores.methods[i], scores.methods[j], mean, float(low), float(high), p))
    return found


def _p(draws: Vector) -> float:
    """2·min(P(d ≤ 0), P(d ≥ 0)) with the usual +1; 1 where nothing is known."""
    known = draws[~np.isnan(draws)]
    tail = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2 * (tail + 1) / (len(known) + 1))


def percentiles(draws: Array) -> tuple[Array, Array]:
    """The 95 % interval of each column, over the draws in which it is defined; NaN: it is in none."""
    known = ~np.isnan(draws).all(0)
    low, high = np.nanquantile(np.where(known, draws, 0.0), [0.025, 0.975], axis=0)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)
