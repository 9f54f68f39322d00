"""Profiles of estimates: by hand and against plain loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.credit.profiles import calibration, deciles, positions
from tests.credit.truths import known


def test_deciles_hold_as_many_steps_each_and_equal_estimates_share_one() -> None:
    """Of 20 different estimates two a decile. Of 0 0 0 0 and 1, percentiles are (2.5 − ½)/5 = .4 and (5 − ½)/5 = .9."""
    assert np.bincount(deciles(np.random.default_rng(0).permutation(20).astype(float))).tolist() == [2] * 10
    assert deciles(np.array([0.0, 0, 0, 0, 1])).tolist() == [4, 4, 4, 4, 9]


def test_calibration_is_the_mean_of_A_in_each_decile() -> None:
    """Two tasks, in one of which A is 1 everywhere and 0 in the other: a draw has one of them twice, or both."""
    estimate = np.array([0.0, 0, 0, 0, 1, 0, 0, 0, 0, 1])
    found = calibration({"e": estimate}, known([1.0] * 5 + [0.0] * 5, [0] * 5 + [1] * 5))["e"]
    assert found.steps.tolist() == [0, 0, 0, 0, 8, 0, 0, 0, 0, 2]
    assert (found.values[4], found.values[9], found.zero[0]) == (0.5, 0.5, 0.5)
    assert np.isnan(found.values[[0, 5]]).all()
    assert (found.low[4], found.high[4]) == (0, 1)


def test_positions_against_plain_loops() -> None:
    """One scale for all steps; the oracle's own error is taken out of every fifth."""
    rng = np.random.default_rng(1)
    lengths = np.repeat([5.0, 10.0, 7.0], [5, 10, 7])
    steps = np.concatenate([np.arange(n, dtype=float) for n in (5, 10, 7)])
    A, e, tasks = rng.normal(size=22), rng.normal(size=22), np.repeat([0, 0, 1], [5, 10, 7])
    e = e + A  # so that the best scale is above 0
    truth = replace(known(A, tasks, lengths), steps=steps, se=np.full(22, 0.2))
    found = positions({"e": e, "zero": 0 * A}, truth)
    scale = (e @ A) / (e @ e)
    fifths = [[i for i in range(22) if int(5 * steps[i] / lengths[i]) == part] for part in range(5)]
    assert found["e"].values == pytest.approx([np.mean((scale * e[part] - A[part]) ** 2) - 0.04 for part in fifths])
    assert found["e"].zero == pytest.approx([np.mean(A[part] ** 2) - 0.04 for part in fifths])
    assert found["zero"].values == pytest.approx(found["zero"].zero)
    assert found["e"].steps.sum() == 22
    assert (found["e"].low <= found["e"].values).all()
    assert (found["e"].values <= found["e"].high).all()
