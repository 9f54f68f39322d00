"""Means, intervals and paired differences over seeds and tasks. Pure functions on matrices [seeds, tasks]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Chosen = npt.NDArray[np.intp]  # indices of columns
RESAMPLES = 10_000
# Below so many seeds, resampled seeds vary much less than seeds do (tests/reporting/test_statistics.py), and the only verdict is
# "noise".
FEW_SEEDS = 5


@dataclass(frozen=True)
class Estimate:
    """``mean`` over seeds and tasks; ``sd`` over the seeds' means (ddof 1, the paper's ±; NaN for one seed);
    [``low``, ``high``]: 95 % interval."""

    mean: float
    sd: float
    low: float
    high: float
    seeds: int
    tasks: int


def estimate(values: Matrix, types: Sequence[str] | None = None, *, seed: int = 0) -> Estimate:
    """Two-level percentile bootstrap: seeds and tasks are resampled with replacement, the same tasks for every seed,
    because all seeds play one panel. With ``types`` (``seed_means``) tasks are resampled within their type. Raises
    ValueError for an empty matrix."""
    means = seed_means(values, types)
    sd = float(means.std(ddof=1)) if len(means) > 1 else float("nan")
    low, high = np.quantile(_resampled_means(values, _members(values, types), seed), [0.025, 0.975])
    return Estimate(float(means.mean()), sd, float(low), float(high), *values.shape)


def seed_means(values: Matrix, types: Sequence[str] | None = None) -> Matrix:
    """The mean of each seed [seeds]. With ``types``, the type of each task, every type weighs the same however many tasks it has."""
    _require(values)
    means: Matrix = np.mean([values[:, chosen].mean(1) for chosen in _members(values, types)], axis=0)
    return means


@dataclass(frozen=True)
class Difference:
    """A paired difference of means, treatment − baseline, with its 95 % interval and its two-sided ``p``."""

    mean: float
    low: float
    high: float
    p: float
    seeds: int
    tasks: int


def paired_difference(
    treatment: Matrix, baseline: Matrix, types: Sequence[str] | None = None, *, seed: int = 0
) -> Difference:
    """The difference of two matrices of the same seeds and the same tasks; ``types`` as in ``estimate``. Interval and p-value
    come from one two-level bootstrap of the differences.

    p = 2·min(P(d* ≤ 0), P(d* ≥ 0)) with the usual +1 correction: with few seeds a sign-flip over seeds alone could not
    go below 2^(1 − seeds), and one over tasks alone would ignore that runs differ.
    """
    if treatment.shape != baseline.shape:
        raise ValueError(f"treatment {treatment.shape} and baseline {baseline.shape} are not paired")
    difference = treatment - baseline
    overall = float(seed_means(difference, types).mean())
    means = _resampled_means(difference, _members(difference, types), seed)
    low, high = np.quantile(means, [0.025, 0.975])
    tail = min(int((means <= 0).sum()), int((means >= 0).sum()))
    p = min(1.0, 2 * (tail + 1) / (len(means) + 1))
    return Difference(overall, float(low), float(high), p, *difference.shape)


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
    difference. Below ``FEW_SEEDS`` interval and p are too far off for any other word."""
    if corrected_p >= 0.05 or difference.low <= 0 <= difference.high:
        return "noise"
    if difference.seeds < FEW_SEEDS:
        return "few seeds"
    return "higher" if difference.mean > 0 else "lower"


def _resampled_means(values: Matrix, members: Sequence[Chosen], seed: int) -> Matrix:
    """The means of RESAMPLES bootstrap matrices [resamples]: with multinomial counts u over seeds and w over each type's tasks,
    the mean over types of uᵀ·values·w / (seeds·tasks)."""
    of_seeds, *of_tasks = _draws(len(values), tuple(map(len, members)), seed, RESAMPLES)
    over_seeds = of_seeds @ values  # of 0 and 1: whole numbers, and exact
    by_type = [
        (over_seeds[:, chosen] * weights).sum(1) / (len(values) * len(chosen))
        for chosen, weights in zip(members, of_tasks, strict=True)
    ]
    means: Matrix = np.mean(by_type, axis=0)
    return means.round(12) + 0.0  # a mean of 0 is 0, and not -1e-17 or -0


@lru_cache(maxsize=16)  # a table's cells have few shapes, and drawing is most of the work
def _draws(seeds: int, tasks: tuple[int, ...], seed: int, resamples: int) -> list[Matrix]:
    """How often each seed was drawn, then how often each task of each type was: matrices [resamples, count]."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    return [
        rng.multinomial(count, np.full(count, 1 / count), resamples).astype(np.float64) for count in (seeds, *tasks)
    ]


def _members(values: Matrix, types: Sequence[str] | None = None) -> list[Chosen]:
    """The columns of each type; without types all columns are of one."""
    labels = np.array(types if types is not None else [""] * values.shape[1])
    return [np.flatnonzero(labels == kind) for kind in sorted(set(labels.tolist()))]


def _require(values: Matrix) -> None:
    if values.ndim != 2 or 0 in values.shape or not np.isfinite(values).all():
        raise ValueError(f"expected a finite [seeds, tasks] matrix, got {values.shape}")
