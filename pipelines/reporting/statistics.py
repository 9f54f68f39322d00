"""Means, intervals and paired differences over seeds and tasks. Pure functions on matrices [seeds, tasks].

All seeds play one panel: a number is the mean, plus what its seed brings, plus what its task does, plus what that one game was. The
variance of the overall mean is taken from the three mean squares of that crossed layout, the interval from Student's t with
Satterthwaite's degrees of freedom (F. E. Satterthwaite, Biometrics Bulletin 2, 1946). A bootstrap over seeds and tasks counts the
noise of single games three times. Seeds that begin with several warm starts are nested in them: what a warm start brings is then a
component too. Of one warm start nothing is known, and no interval holds it. Coverage, simulated: tests/reporting/test_statistics.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Chosen = npt.NDArray[np.intp]  # indices of columns
Starts = Sequence[int]  # of each row, the seed of its warm start
LEVEL, POWER = 0.05, 0.8
# Two seeds say too little of how much seeds differ (tests/reporting/test_statistics.py): the only verdict is "noise".
FEW_SEEDS = 3


@dataclass(frozen=True)
class Estimate:
    """``mean`` over seeds and tasks; ``sd`` over the seeds' means (ddof 1, the paper's ±; NaN for one seed);
    [``low``, ``high``]: 95 % interval, NaN for one game. ``starts``: how many warm starts the seeds begin with."""

    mean: float
    sd: float
    low: float
    high: float
    seeds: int
    tasks: int
    starts: int = 1


def estimate(values: Matrix, types: Sequence[str] | None = None, starts: Starts | None = None) -> Estimate:
    """Over seeds and tasks; with ``types`` as in ``seed_means``. ``starts``: the warm start of each seed; None: all have one. Of one
    seed the interval is over tasks alone, of one task over seeds. Of shares it ends at 0 and 1. Raises ValueError for an empty
    matrix."""
    means = seed_means(values, types)
    sd = float(means.std(ddof=1)) if len(means) > 1 else float("nan")
    mean, error = float(means.mean()), _error(values, _members(values, types), starts)
    low, high = error.interval(mean)
    if _are_shares(values):
        low, high = max(low, 0.0), min(high, 1.0)
    seeds, tasks = values.shape
    return Estimate(mean, sd, low, high, seeds, tasks, _count(starts))


def seed_means(values: Matrix, types: Sequence[str] | None = None) -> Matrix:
    """The mean of each seed [seeds]. With ``types``, the type of each task, every type weighs the same however many tasks it has."""
    _require(values)
    means: Matrix = np.mean([values[:, chosen].mean(1) for chosen in _members(values, types)], axis=0)
    return means


@dataclass(frozen=True)
class Error:
    """Of a mean: its standard error ``se``, known with ``df`` degrees of freedom. ``se`` 0: everything is alike, and ``df`` NaN. Both
    NaN: nothing was measured twice."""

    se: float
    df: float

    def interval(self, mean: float) -> tuple[float, float]:
        """95 %."""
        from scipy.stats import t

        half = float(t.ppf(1 - LEVEL / 2, self.df)) * self.se if self.se else self.se
        return mean - half, mean + half

    def p(self, mean: float, games: int) -> float:
        """Of a true mean of 0, two-sided; of games that are all alike, that so many coins all fall on one side. 1 where the error is
        not known."""
        from scipy.stats import t

        if not mean or np.isnan(self.se):
            return 1.0
        return float(2 * t.sf(abs(mean) / self.se, self.df)) if self.se else 2.0 ** (1 - games)

    def detectable(self, comparisons: int) -> float:
        """The true mean that is told from 0 in ``POWER`` of the studies with this error, where the level is shared by so many
        comparisons (as in Holm's first step). NaN where the error is 0 or not known."""
        from scipy.optimize import brentq
        from scipy.stats import chi2, norm, t

        if np.isnan(self.df):
            return float("nan")
        # Each study estimates its error anew, with df degrees of freedom: its mean must be beyond this many true errors.
        estimated = np.sqrt(chi2.ppf((np.arange(1000) + 0.5) / 1000, self.df) / self.df)
        beyond = t.ppf(1 - LEVEL / 2 / comparisons, self.df) * estimated
        return self.se * float(brentq(lambda mean: norm.sf(beyond - mean).mean() - POWER, 0, beyond[-1] + 5))


@dataclass(frozen=True)
class Difference:
    """A paired difference of means, treatment − baseline, with its 95 % interval and its two-sided ``p``."""

    mean: float
    low: float
    high: float
    p: float
    seeds: int
    tasks: int
    error: Error
    starts: int = 1


def paired_difference(
    treatment: Matrix, baseline: Matrix, types: Sequence[str] | None = None, starts: Starts | None = None
) -> Difference:
    """The difference of two matrices of the same seeds and the same tasks; ``types`` and ``starts`` as in ``estimate``. Of shares the
    interval ends at −1 and 1. Raises ValueError for matrices of two shapes or empty ones."""
    if treatment.shape != baseline.shape:
        raise ValueError(f"treatment {treatment.shape} and baseline {baseline.shape} are not paired")
    difference = treatment - baseline
    mean = float(seed_means(difference, types).mean().round(_DECIMALS)) + 0.0  # 0, and not −1e-17 or −0
    error = _error(difference, _members(difference, types), starts)
    low, high = error.interval(mean)
    if _are_shares(treatment) and _are_shares(baseline):
        low, high = max(low, -1.0), min(high, 1.0)
    seeds, tasks = difference.shape
    return Difference(mean, low, high, error.p(mean, difference.size), seeds, tasks, error, _count(starts))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction for the number of comparisons; monotone, at most 1."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, running = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = running
    return corrected


def verdict(difference: Difference, corrected_p: float) -> str:
    """The difference in a word, at 5 %. "noise": it is within what seeds and tasks vary by, which is no proof that there is no
    difference. Below ``FEW_SEEDS``, and of as few warm starts if there are several, the interval is too far off for any other word."""
    if corrected_p >= 0.05 or difference.low <= 0 <= difference.high:
        return "noise"
    if difference.seeds < FEW_SEEDS or 1 < difference.starts < FEW_SEEDS:
        return "few seeds"
    return "higher" if difference.mean > 0 else "lower"


def _error(values: Matrix, members: Sequence[Chosen], starts: Starts | None = None) -> Error:
    """Of the overall mean. A mean square below that of single games is taken for theirs: the effect is not there, or chance hid it."""
    seeds, sizes = len(values), np.array([len(chosen) for chosen in members])
    several = [values[:, chosen] for chosen in members if len(chosen) > 1]
    if seeds == 1 and not several:
        return Error(float("nan"), float("nan"))
    single = _of_types([_games(of) for of in several if seeds > 1], sizes, seeds - 1)
    parts = (_of_seeds(values, members, starts), _of_types([float(of.mean(0).var(ddof=1)) for of in several], sizes, 1))
    kept = [part for part in parts if part.variance > (1 + _EQUAL) * single.variance]
    times = 1 - len(kept)  # Games vary in every mean square, and in the overall mean once.
    variance = sum(part.variance for part in kept) + times * single.variance
    if variance < _NONE:
        return Error(0.0, float("nan"))
    return Error(variance**0.5, variance**2 / (sum(part.spread for part in kept) + times**2 * single.spread))


class _Part(NamedTuple):
    """What a mean square adds to the ``variance`` of the overall mean, and Satterthwaite's Σ variance²/df of it."""

    variance: float
    spread: float


def _of_seeds(values: Matrix, members: Sequence[Chosen], starts: Starts | None) -> _Part:
    """Of one seed nothing is known. Of several warm starts it is their means that vary, unless seeds of one vary as much."""
    if len(values) == 1:
        return _Part(0.0, 0.0)
    means = np.mean([values[:, chosen].mean(1) for chosen in members], axis=0)
    single = float(means.var(ddof=1)) / len(values)
    part = _Part(single, single**2 / (len(values) - 1))
    labels = np.array(starts if starts is not None else [0] * len(values))
    groups = [means[labels == label] for label in sorted(set(labels.tolist()))]
    within = len(values) - len(groups)
    if len(groups) == 1 or not within:
        return part
    shares = np.array([(group - means.mean()).sum() for group in groups]) / len(values)
    between = float((shares**2).sum()) * len(groups) / (len(groups) - 1)
    inside = sum(float(((group - group.mean()) ** 2).sum()) for group in groups) / within / len(values)
    return _Part(between, between**2 / (len(groups) - 1)) if between > (1 + _EQUAL) * inside else part


def _of_types(squares: Sequence[float], sizes: npt.NDArray[np.int_], times: int) -> _Part:
    """``squares``: how much the means of tasks vary in each type of several tasks, with ``times`` (tasks − 1) degrees of freedom.
    ``sizes``: tasks of every type. A type of one task takes what the others have in common."""
    if not squares:
        return _Part(0.0, 0.0)
    tasks = sizes[sizes > 1]
    alone = (sizes == 1).sum() * (tasks - 1) / (tasks - 1).sum()
    parts = np.array(squares) * (1 / tasks + alone) / len(sizes) ** 2
    return _Part(float(parts.sum()), float((parts**2 / (tasks - 1)).sum()) / times)


def _games(values: Matrix) -> float:
    """How much the means of tasks vary by single games: what is left when seeds and tasks are taken out."""
    seeds, tasks = values.shape
    left = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    return float((left**2).sum() / ((seeds - 1) * (tasks - 1)) / seeds)


def _members(values: Matrix, types: Sequence[str] | None = None) -> list[Chosen]:
    """The columns of each type; without types all columns are of one."""
    labels = np.array(types if types is not None else [""] * values.shape[1])
    return [np.flatnonzero(labels == kind) for kind in sorted(set(labels.tolist()))]


def _count(starts: Starts | None) -> int:
    return 1 if starts is None else len(set(starts))


def _are_shares(values: Matrix) -> bool:
    return bool(values.min() >= 0 and values.max() <= 1)


def _require(values: Matrix) -> None:
    if values.ndim != 2 or 0 in values.shape or not np.isfinite(values).all():
        raise ValueError(f"expected a finite [seeds, tasks] matrix, got {values.shape}")


_DECIMALS, _NONE, _EQUAL = 12, 1e-20, 1e-9  # what sums of floats leave of 0, and of equality
