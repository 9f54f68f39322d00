"""Where an estimate is right: the oracle's A by decile of the estimate, and the error by part of the episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipelines.credit.scores import (
    RESAMPLES,
    Array,
    Labels,
    Vector,
    best_scale,
    drawn_tasks,
    mean_squared_error,
    percentiles,
    summed,
)
from pipelines.credit.truth import Truth

DECILES, PARTS = 10, 5


@dataclass(frozen=True, eq=False)
class Profile:
    """A number for each of B bins, float64[B], with its 95 % interval by a bootstrap over tasks; NaN: no step falls into the bin.
    ``steps``: how many do. ``zero``: what the number is of an estimate of 0."""

    steps: Vector
    values: Vector
    low: Vector
    high: Vector
    zero: Vector


def calibration(estimates: Mapping[str, Vector], truth: Truth, *, seed: int = 0) -> dict[str, Profile]:
    """The mean of A in each tenth of the steps by the estimate. The oracle's own error has mean 0, so nothing is corrected."""
    found = {}
    for name, estimate in estimates.items():
        sums = _binned({"n": np.ones_like(estimate), "A": truth.mean}, truth, deciles(estimate), DECILES)
        with np.errstate(invalid="ignore", divide="ignore"):
            values, draws = (s["A"] / s["n"] for s in _whole_and_drawn(sums, seed))
        found[name] = Profile(sums["n"].sum(0), values[0], *percentiles(draws), np.full(DECILES, truth.mean.mean()))
    return found


def positions(estimates: Mapping[str, Vector], truth: Truth, *, seed: int = 0) -> dict[str, Profile]:
    """The mean squared error in each fifth of an episode after the estimate's best scale, one for all steps, without the oracle's own
    error; beside it A's own mean square there."""
    places, a = (PARTS * truth.steps / truth.lengths).astype(np.int64), truth.mean
    found = {}
    for name, e in estimates.items():
        of_steps = {"n": np.ones_like(a), "ee": e * e, "eA": e * a, "AA": a * a, "noise": truth.se**2}
        sums = _binned(of_steps, truth, places, PARTS)
        with np.errstate(invalid="ignore", divide="ignore"):
            values, draws = (
                mean_squared_error(s, best_scale({key: x.sum(1, keepdims=True) for key, x in s.items()}))
                for s in _whole_and_drawn(sums, seed)
            )
            zero = mean_squared_error({key: x.sum(0) for key, x in sums.items()}, 0.0)
        found[name] = Profile(sums["n"].sum(0), values[0], *percentiles(draws), zero)
    return found


def deciles(estimate: Vector) -> Labels:
    """Of (mean rank − ½) / n, so that equal estimates share one, and otherwise all hold the same number of steps."""
    from scipy.stats import rankdata

    return np.asarray((rankdata(estimate) - 0.5) * DECILES / len(estimate), np.int64)


def _binned(of_steps: Mapping[str, Vector], truth: Truth, bins: Labels, count: int) -> dict[str, Array]:
    """Sums over the steps of a task in a bin, [T, B]."""
    tasks, places = np.unique(truth.tasks, return_inverse=True)
    inside = np.eye(count)[bins]
    return {name: summed(values[:, None] * inside, places, len(tasks)) for name, values in of_steps.items()}


def _whole_and_drawn(sums: Mapping[str, Array], seed: int) -> tuple[dict[str, Array], dict[str, Array]]:
    """Over all tasks [1, B], and over those of each draw [resamples, B]."""
    weights = drawn_tasks(len(sums["n"]), RESAMPLES, seed)
    return {k: x.sum(0, keepdims=True) for k, x in sums.items()}, {k: weights @ x for k, x in sums.items()}
