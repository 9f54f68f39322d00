"""Scores against the oracle, by hand and against plain loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from pipelines.credit.scores import RESAMPLES, continuations_needed, differences, score, score_sums, task_sums
from tests.credit.truths import known


def test_by_hand() -> None:
    """One task, A = 1 −1 2 0, estimates 2 −2 −4 0: signs right, right, wrong, and the last A has none: 2/3. Squared errors 1 1 36 0:
    9½. Σe² = 24, Σe·A = 2 + 2 − 8 = −4: no scale above 0 helps, so all of A is left unexplained. Of half of A: Σe² = 1½, Σe·A = 3,
    scale 2, nothing left. Ranks of A 3 1 4 2, of e 4 2 1 3: d = −1 −1 3 −1, ρ = 1 − 6·12/(4·15) = −0.2."""
    A = np.array([1.0, -1, 2, 0])
    found = score({"e": np.array([2.0, -2, -4, 0]), "half": A / 2, "zero": 0 * A}, known(A, [5] * 4), resamples=3)
    assert found.values["sign"] == pytest.approx([2 / 3, 1, 1 / 2])
    assert found.values["mse"] == pytest.approx([9.5, 6 / 16, 6 / 4])
    assert found.values["unexplained"] == pytest.approx([1, 0, 1])
    assert found.values["rank"] == pytest.approx([-0.2, 1, 0])
    assert found.reliability == pytest.approx(1)


def test_scores_that_are_not_asked_for_are_not_computed() -> None:
    """Those that are have the same numbers."""
    rng = np.random.default_rng(3)
    truth = replace(known(rng.normal(size=12), [0, 1, 2] * 4), products=np.eye(12))
    estimate = {"e": rng.normal(size=12)}
    whole = score(estimate, truth, resamples=50)
    some = score(estimate, truth, names=("rank", "gradient"), resamples=50)
    assert list(some.values) == ["rank", "gradient"]
    for name in some.values:
        np.testing.assert_array_equal(some.values[name], whole.values[name])
        np.testing.assert_array_equal(some.draws[name], whole.draws[name])
    none = score(estimate, truth, names=(), resamples=50)
    assert not none.values
    assert none.reliability == some.reliability == whole.reliability
    np.testing.assert_array_equal(none.reliabilities, whole.reliabilities)


def test_the_oracles_error_is_taken_out_of_the_mean_square() -> None:
    """Squared errors 1 and 9, of which the oracle's own are 0.25 and 0.75: (10 − 1)/2."""
    truth = replace(known([1, 3], [0, 0]), se=np.sqrt([0.25, 0.75]))
    assert score({"zero": np.zeros(2)}, truth, resamples=2).values["mse"] == pytest.approx([4.5])


def test_length_bias_by_hand() -> None:
    """A = 0 everywhere but once; e − A rises with the length, then falls with it."""
    truth = known([0.0, 0, 0, 1], [0, 0, 1, 1], lengths=[1, 2, 3, 4])
    errors = np.array([1.0, 2, 3, 4])
    found = score({"up": truth.mean + errors, "down": truth.mean - errors}, truth, resamples=2).values
    scale = 5 / (1 + 4 + 9 + 25)  # Σe·A / Σe²: that of "up"
    left = scale * (truth.mean + errors) - truth.mean
    assert found["length_bias"][0] == pytest.approx(np.corrcoef(left, [1, 2, 3, 4])[0, 1])
    assert found["length_bias"][1] == pytest.approx(np.corrcoef(-truth.mean, [1, 2, 3, 4])[0, 1])  # its scale is 0


def test_against_plain_loops() -> None:
    rng = np.random.default_rng(0)
    tasks, A, e = rng.integers(0, 4, 60), rng.normal(size=60), rng.normal(size=60)
    first, second = A + 0.5 * rng.normal(size=(2, 60))
    truth = replace(known(A, tasks), first=first, second=second, low=A - 0.5, high=A + 0.5)
    found = score({"e": e}, truth, resamples=2)
    ranks, halves = (
        np.mean([spearmanr(x[tasks == t], y[tasks == t]).statistic for t in range(4)])
        for x, y in ((e, A), (first, second))
    )
    reliability = 2 * halves / (1 + halves)
    assert found.values["rank"][0] == pytest.approx(ranks)
    assert found.reliability == pytest.approx(reliability)
    assert found.values["rank_corrected"][0] == pytest.approx(ranks / reliability**0.5)
    sure = [i for i in range(60) if abs(A[i]) > 0.5]
    assert found.values["sign"][0] == pytest.approx(np.mean([A[i] * e[i] > 0 for i in sure]))


def test_an_oracle_that_knows_nothing_corrects_nothing() -> None:
    """Halves that rank the other way round; returns that differ in their last bits alone, which rank nothing; no A beyond its error."""
    A = np.array([0.1, 0.2, 0.3])
    found = score({"e": A}, replace(known(A, [0] * 3), second=-A), resamples=2)
    assert (found.values["rank"][0], found.reliability) == (pytest.approx(1), 0)
    assert np.isnan(found.values["rank_corrected"][0])
    same = score({"e": A}, known([0.3, 0.1 + 0.2, 0.3], [0] * 3), resamples=2)
    assert np.isnan(same.values["rank"][0])
    unsure = score({"e": A}, replace(known(A, [0] * 3), se=np.ones(3)), resamples=2)
    assert np.isnan(unsure.values["unexplained"][0])
    assert np.isnan(differences(score({"a": A, "b": -A}, known(0 * A, [0] * 3)), "rank")[0].mean)


def test_continuations_for_a_reliable_ranking() -> None:
    """Reliability .5 with 32: that of k times as many is k/(k + 1), so .9 takes nine times as many."""
    assert continuations_needed(0.5, 32) == pytest.approx(288)
    assert np.isnan(continuations_needed(0.0, 32))


def test_the_bootstrap_draws_tasks() -> None:
    """Two tasks, in one of which the sign is right: a draw has both of one, or one of each. Pairs are of the same draws."""
    truth = known([1.0, 1], [0, 1])
    good, bad = np.array([1.0, -1]), np.array([-1.0, -1])
    found = score({"half": good, "none": bad, "half again": good}, truth, resamples=4000)
    assert {float(x) for x in found.draws["sign"][:, 0]} == {0.0, 0.5, 1.0}
    assert found.draws["sign"][:, 0].mean() == pytest.approx(0.5, abs=0.03)
    assert [x[0] for x in found.interval("sign")] == [0, 1]
    first, same, last = differences(found, "sign")
    assert (first.method, first.other, first.mean) == ("half", "none", 0.5)
    assert (same.mean, same.low, same.high, same.p) == (0, 0, 0, 1)
    assert last.mean == -0.5
    # Better in a quarter of the draws not at all: p = 2·(about 1000 + 1)/4001, times 3 by Holm, at most 1.
    assert first.p == pytest.approx(1)


def test_a_task_of_two_iterations_is_drawn_as_one() -> None:
    """Ranked within each iteration, drawn together: two tasks are never half right in one and whole in the other iteration."""
    A, groups, tasks = np.array([1.0, 2, 1, 2, 1, 2, 1, 2]), np.repeat(range(4), 2), np.repeat([7, 9, 7, 9], 2)
    e = np.where(tasks == 7, A, -A)
    found = score({"e": e}, replace(known(A, groups), tasks=tasks), resamples=500)
    assert found.values["rank"] == pytest.approx([0])
    assert {float(x) for x in found.draws["rank"][:, 0].round(9)} == {-1.0, 0.0, 1.0}
    apart = score({"e": e}, known(A, groups), resamples=500)
    assert {float(x) for x in apart.draws["rank"][:, 0].round(9)} == {-1.0, -0.5, 0.0, 0.5, 1.0}


def test_multiples_of_one_estimate_are_not_told_apart() -> None:
    """RLOO is n/(n − 1) times Dr. GRPO: after the best scale both leave the same error, but for the last bits of float32."""
    rng = np.random.default_rng(5)
    A, tasks = rng.normal(size=60), np.repeat(np.arange(6), 10)
    e = (A + rng.normal(size=60)).astype(np.float32)
    pair = {"one": e.astype(np.float64), "8/7 of it": (e * np.float32(8 / 7)).astype(np.float64)}
    for name in ("rank", "unexplained", "length_bias"):
        (difference,) = differences(score(pair, known(A, tasks, lengths=rng.integers(1, 9, 60))), name)
        assert (difference.mean, difference.p) == (0, 1)


def test_the_oracles_error_is_taken_out_of_the_spread_that_length_bias_divides_by() -> None:
    """Errors are the length and noise of known size, which alone would make .1 of a perfect correlation."""
    rng = np.random.default_rng(6)
    lengths, noise = rng.integers(1, 9, 4000).astype(float), 10 * rng.normal(size=4000)
    truth = replace(known(noise - lengths, np.arange(4000) // 10, lengths), se=np.full(4000, 10.0))
    (bias,) = score({"zero": np.zeros(4000)}, truth, resamples=2).values["length_bias"]
    assert np.corrcoef(lengths - noise, lengths)[0, 1] < 0.4
    assert bias == pytest.approx(1, abs=0.15)


def test_the_gradient_cosine_is_that_of_the_gradients() -> None:
    """Scores of steps of two policies, each with weights of its own: their gradients side by side."""
    rng = np.random.default_rng(7)
    S, A, e = rng.normal(size=(40, 5)), rng.normal(size=40), rng.normal(size=(40, 2))
    policy, tasks = np.arange(40) % 2, np.arange(40) // 8
    wide = np.hstack([S * (policy == p)[:, None] for p in range(2)])
    first = A + 0.3 * rng.normal(size=40)
    truth = replace(known(A, tasks), products=wide @ wide.T, first=first, second=2 * A - first)
    found = score({"e": e[:, 0], "f": e[:, 1], "zero": 0 * A}, truth, resamples=50, seed=3)
    weights = np.random.Generator(np.random.Philox(key=3)).multinomial(5, np.full(5, 1 / 5), 50)
    for values, times in ((found.values["gradient"], np.ones(5)), (found.draws["gradient"][9], weights[9])):
        g, one, two, f, h = ((times[tasks] * x) @ wide for x in (A, first, 2 * A - first, e[:, 0], e[:, 1]))
        length = (one @ two) ** 0.5
        assert values == pytest.approx([x @ g / length / (x @ x) ** 0.5 for x in (f, h)] + [0])
    assert np.isnan(score({"e": A}, known(A, tasks), resamples=2).values["gradient"][0])


def test_a_difference_in_every_task_is_seen() -> None:
    rng = np.random.default_rng(1)
    A, tasks = rng.normal(size=400), np.repeat(np.arange(40), 10)
    found = score({"near": A + 0.3 * rng.normal(size=400), "far": A + 3 * rng.normal(size=400)}, known(A, tasks))
    (difference,) = differences(found, "rank")
    assert difference.low > 0
    assert difference.p == pytest.approx(2 / (RESAMPLES + 1))


def test_one_good_method_among_all_is_told_apart() -> None:
    """Eleven estimators behind two arms are 231 pairs: Holm's factor must leave the bootstrap's least p below .05."""
    rng = np.random.default_rng(3)
    A, tasks = rng.normal(size=160), np.repeat(np.arange(20), 8)
    noise = {f"noise {i}": rng.normal(size=160) for i in range(21)}
    found = differences(score({"A": A, **noise}, known(A, tasks)), "rank")
    assert len(found) == 231
    assert all(each.p < 0.05 for each in found if each.method == "A")


def test_sums_of_several_drawings_add_up() -> None:
    """Half of the tasks in each: together they are all of them."""
    rng = np.random.default_rng(2)
    A, e, tasks = rng.normal(size=30), rng.normal(size=(30, 2)), np.repeat([3, 5, 9], 10)
    whole = task_sums(e, known(A, tasks))
    parts = [task_sums(e[k], known(A[k], tasks[k]), np.array([3, 5, 9])) for k in (tasks == 5, tasks != 5)]
    added = {name: parts[0][name] + parts[1][name] for name in whole}
    both = [score_sums(("a", "b"), sums, 5) for sums in (whole, added)]
    for name, values in both[0].values.items():
        assert both[1].values[name] == pytest.approx(values, nan_ok=True)
