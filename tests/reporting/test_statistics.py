"""Means, intervals, paired differences and Holm's correction, against hand computation, enumeration and simulation."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipelines.reporting import statistics
from pipelines.reporting.statistics import RESAMPLES, Matrix, estimate, holm, paired_difference, seed_means, verdict

matrices = st.tuples(st.integers(1, 4), st.integers(1, 6)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.sampled_from([0.0, 1.0]))
)


def matrix(*rows: list[int]) -> Matrix:
    return np.array(rows, dtype=np.float64)


def test_mean_and_standard_deviation_by_hand() -> None:
    # Means of the seeds: 1/4, 3/4, 2/4. Overall 1/2; sd = √(((1/4)² + (1/4)² + 0) / (3 − 1)) = √(1/16) = 1/4.
    e = estimate(matrix([1, 0, 0, 0], [1, 1, 1, 0], [1, 0, 1, 0]))
    assert (e.mean, e.sd, e.seeds, e.tasks) == (0.5, 0.25, 3, 4)


def test_one_seed_has_no_standard_deviation() -> None:
    assert math.isnan(estimate(matrix([1, 0])).sd)


def test_interval_of_two_seeds_and_one_task_is_enumerated() -> None:
    # Two seeds with values 0 and 1, one task: a resample draws (0,0), (0,1), (1,0), (1,1), means 0, ½, ½, 1 with
    # probability ¼, ½, ¼. Both tails are heavier than 2.5 %, so the interval is the whole of [0, 1].
    e = estimate(matrix([0], [1]))
    assert (e.low, e.high) == (0.0, 1.0)


def test_interval_of_certain_success_is_a_point() -> None:
    e = estimate(matrix([1, 1], [1, 1]))
    assert (e.low, e.mean, e.high) == (1.0, 1.0, 1.0)


def share_of(values: Matrix) -> dict[float, float]:
    """The bootstrap itself, without drawing: every choice of seeds and of tasks is equally likely; mean → probability."""
    seeds, tasks = values.shape
    draws = [
        float(values[np.ix_(chosen_seeds, chosen_tasks)].mean())
        for chosen_seeds in itertools.product(range(seeds), repeat=seeds)
        for chosen_tasks in itertools.product(range(tasks), repeat=tasks)
    ]
    counted = Counter(round(mean, 12) + 0.0 for mean in draws)
    return {mean: counted[mean] / len(draws) for mean in sorted(counted)}


ENUMERATED = [
    matrix([1, 0, 0, 1]),  # one seed: only tasks vary
    matrix([1], [1], [0], [1]),  # one task: only seeds vary
    matrix([1, 0], [1, 1]),
    matrix([1, 0, 0], [1, 1, 1]),
    matrix([1, 1, 0, 1], [0, 0, -1, 1]),  # a difference
]


@pytest.mark.parametrize("values", ENUMERATED)
def test_interval_is_the_enumerated_one(values: Matrix) -> None:
    """The 2.5 % quantile is the first mean whose cumulative probability passes 2.5 %. It must be clear of it by 4 standard
    deviations of what 10,000 draws count, √(.025·.975/10,000)·4 = .0062: then the draws give that very number."""
    share = share_of(values)
    for means, bound in ((list(share), "low"), (list(share)[::-1], "high")):
        below = list(itertools.accumulate(share[mean] for mean in means))
        assert all(abs(probability - 0.025) > 0.0062 for probability in below), "choose another matrix"
        exact = next(mean for mean, probability in zip(means, below, strict=True) if probability > 0.025)
        for made in (estimate(values), paired_difference(values, np.zeros_like(values))):
            assert getattr(made, bound) == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize(
    "values",
    [*ENUMERATED, matrix([1, -1, 0, 0, 0], [0, 1, -1, 1, 0], [1, 0, 0, 0, -1])],  # whose fifteenths no float holds
)
def test_p_is_the_enumerated_one(values: Matrix) -> None:
    share = share_of(values)
    tail = min(sum(share[m] for m in share if m <= 0), sum(share[m] for m in share if m >= 0))
    expected = min(1.0, 2 * (tail * RESAMPLES + 1) / (RESAMPLES + 1))
    error = 4 * 2 * math.sqrt(tail * (1 - tail) / RESAMPLES)  # of 10,000 draws
    assert paired_difference(values, np.zeros_like(values)).p == pytest.approx(expected, abs=error + 1e-12)


def loop_bootstrap(values: Matrix, resamples: int, seed: int) -> list[float]:
    """The two-level bootstrap as one would explain it: draw seeds, draw tasks, average."""
    draw, (seeds, tasks), means = random.Random(seed), values.shape, []
    for _ in range(resamples):
        chosen_seeds, chosen_tasks = draw.choices(range(seeds), k=seeds), draw.choices(range(tasks), k=tasks)
        means.append(sum(float(values[s, t]) for s in chosen_seeds for t in chosen_tasks) / values.size)
    return means


def test_every_type_weighs_the_same_by_hand() -> None:
    """Three tasks of one type, one of another. Seeds: (2/3 + 0)/2 = 1/3 and (0 + 1)/2 = 1/2; mean 5/12, sd (1/6)/√2. All
    tasks alike, the seeds' means would be 2/4 and 1/4."""
    values, types = matrix([1, 0, 1, 0], [0, 1, 0, 0]), ["a", "b", "a", "a"]
    assert seed_means(values, types).tolist() == pytest.approx([1 / 3, 1 / 2])
    assert seed_means(values).tolist() == [1 / 2, 1 / 4]
    e = estimate(values, types)
    assert (e.mean, e.sd, e.seeds, e.tasks) == (pytest.approx(5 / 12), pytest.approx(1 / 6 / math.sqrt(2)), 2, 4)


def test_tasks_are_resampled_within_their_type() -> None:
    """Type a has 1 and 0, type b has 1. a's two draws have the means 0, ½, 1 with probability ¼, ½, ¼, b's is always 1:
    [½, 1]. Drawn from all three tasks, a mean of 0 had probability 1/27 > 2.5 %."""
    values = matrix([1, 0, 1])
    one, other = estimate(values, ["a", "a", "b"]), estimate(values)
    assert (one.low, one.high) == (0.5, 1.0)
    assert (other.low, other.high) == (0.0, 1.0)


@settings(max_examples=25, deadline=None)
@given(matrices)
def test_one_type_is_no_type(values: Matrix) -> None:
    one, other = estimate(values, ["a"] * values.shape[1]), estimate(values)
    assert (one.mean, one.low, one.high) == (other.mean, other.low, other.high)


def test_interval_is_the_plain_loops() -> None:
    values = (np.random.default_rng(3).random((3, 20)) < [[0.3], [0.5], [0.6]]).astype(np.float64)
    e, loop = estimate(values), np.array(loop_bootstrap(values, 4000, seed=1))
    # Of the loop's 4,000 means, 2.5 % lie below ``low``, but for the error of counting there (4,000) and here (10,000),
    # at 4 standard deviations: 4·√(.025·.975·(1/4,000 + 1/10,000)) = .0117. Means are multiples of 1/60 and may tie.
    for beyond, at in (((loop < e.low - 1e-9), loop <= e.low + 1e-9), ((loop > e.high + 1e-9), loop >= e.high - 1e-9)):
        assert beyond.mean() <= 0.025 + 0.0117
        assert at.mean() >= 0.025 - 0.0117


def coverage(seeds: int, tasks: int, studies: int) -> float:
    """Share of binomial studies whose interval holds the truth, ½. Seeds differ by sd .12 of the probability, tasks by .3."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(studies):
        ability, difficulty = rng.normal(0, 0.12, (seeds, 1)), rng.normal(0, 0.3, (1, tasks))
        chance = np.clip(0.5 + ability + difficulty, 0, 1)
        e = estimate((rng.random(chance.shape) < chance).astype(np.float64))
        covered += e.low <= 0.5 <= e.high
    return covered / studies


def test_intervals_cover_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight seeds, 60 tasks.

    The variance of the mean has the parts .12²/8 = .0018 (seeds) and about .28²/60 = .0013 (tasks; clipping takes some):
    on these studies an interval over tasks alone covers 84 %, over seeds alone 81 %, one half as wide again 99.7 %.
    Nominal 95 %: eight resampled seeds have 7/8 of the seeds' variance (−1 %), the noise of single games is counted twice
    (+1 %). 4 standard deviations of counting 300 studies are 4·√(.95·.05/300) = 5 %: at least 89 %, at most 99.5 %.
    """
    monkeypatch.setattr(statistics, "RESAMPLES", 1000)  # enough for one quantile's error not to matter here
    assert 0.89 <= coverage(8, 60, studies=300) <= 0.995


def test_intervals_of_few_seeds_cover_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why a table tests nothing below five seeds: two resampled seeds have half of the seeds' variance, and the t-quantile
    of one degree of freedom is 12.7 where the bootstrap has about 2."""
    monkeypatch.setattr(statistics, "RESAMPLES", 1000)
    assert 0.6 <= coverage(2, 400, studies=300) <= 0.89


def test_noise_is_no_proof_that_nothing_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands below the tables: three seeds that differ by .05, 128 tasks played once, and a true difference of .1.

    Chances spread by .3 around a half, so a game varies by about .25 − .3² = .16 and the mean of 384 differences by
    √(2·.16/384) = .029; by seeds it is √(2·.05²/3) = .041: .05 in all, where significance wants ±.098. So half of 60 studies;
    4 standard deviations are 4·√(.25/60) = 26 %.
    """
    monkeypatch.setattr(statistics, "RESAMPLES", 1000)
    rng, noise = np.random.default_rng(0), 0
    for _ in range(60):
        task = rng.normal(0, 0.3, (1, 128))
        better, usual = (
            (rng.random((3, 128)) < 0.5 + gain + rng.normal(0, 0.05, (3, 1)) + task).astype(np.float64)
            for gain in (0.1, 0.0)
        )
        difference = paired_difference(better, usual)
        noise += verdict(difference, difference.p) == "noise"
    assert 0.24 <= noise / 60 <= 0.76


@settings(max_examples=25, deadline=None)
@given(matrices)
def test_an_interval_holds_its_mean_and_stays_in_range(values: Matrix) -> None:
    e = estimate(values)
    assert 0 <= e.low <= e.mean + 1e-12
    assert e.mean - 1e-12 <= e.high <= 1 + 1e-12


@settings(max_examples=25, deadline=None)
@given(matrices, st.randoms(use_true_random=False))
def test_order_does_not_move_the_mean(values: Matrix, rng: random.Random) -> None:
    seeds, tasks = (rng.sample(range(n), n) for n in values.shape)
    one, other = estimate(values), estimate(values[np.ix_(seeds, tasks)])
    assert one.mean == pytest.approx(other.mean)
    assert one.sd == pytest.approx(other.sd, nan_ok=True)


def test_the_same_numbers_give_the_same_interval() -> None:
    values = (np.random.default_rng(0).random((3, 30)) < 0.4).astype(np.float64)
    assert estimate(values) == estimate(values.copy())
    assert paired_difference(values, 1 - values) == paired_difference(values, 1 - values)


def test_a_paired_difference_by_hand() -> None:
    # Treatment − baseline: [[0, 1], [1, 1]], mean 3/4.
    d = paired_difference(matrix([1, 1], [1, 1]), matrix([1, 0], [0, 0]))
    assert (d.mean, d.seeds, d.tasks) == (0.75, 2, 2)


def test_p_of_a_difference_that_is_always_there() -> None:
    # Every resample's mean is 1 > 0: p = 2·(0 + 1)/(10,000 + 1).
    d = paired_difference(matrix([1, 1], [1, 1]), matrix([0, 0], [0, 0]))
    assert d.p == pytest.approx(2 / 10_001)


def test_p_of_two_seeds_that_disagree() -> None:
    # One task; seeds differ by +1 and 0: a resample's mean is 0 with probability ¼, never below. p = 2·¼.
    d = paired_difference(matrix([1], [1]), matrix([0], [1]))
    assert d.p == pytest.approx(0.5, abs=0.03)


@settings(max_examples=25, deadline=None)
@given(matrices)
def test_no_difference_is_no_difference(values: Matrix) -> None:
    d = paired_difference(values, values)
    assert (d.mean, d.low, d.high, d.p) == (0.0, 0.0, 0.0, 1.0)


@settings(max_examples=25, deadline=None)
@given(matrices)
def test_the_difference_is_antisymmetric(values: Matrix) -> None:
    other = 1.0 - values
    one, two = paired_difference(values, other), paired_difference(other, values)
    assert one.mean == pytest.approx(-two.mean)
    assert one.low == pytest.approx(-two.high)
    assert one.high == pytest.approx(-two.low)
    assert one.p == pytest.approx(two.p)


def test_holm_by_hand() -> None:
    # Sorted .01, .03, .04 are multiplied by 3, 2, 1: .03, .06, .04; the last is lifted to the one before: .06.
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(values: list[float]) -> None:
    """Another definition: a hypothesis stands until every set of hypotheses it belongs to is rejected by Bonferroni."""
    sets = [c for n in range(1, len(values) + 1) for c in itertools.combinations(range(len(values)), n)]
    closed = [max(min(1.0, len(c) * min(values[j] for j in c)) for c in sets if i in c) for i in range(len(values))]
    assert holm(values) == pytest.approx(closed)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_corrects_upwards_and_keeps_the_order(values: list[float]) -> None:
    corrected = holm(values)
    assert all(p <= c <= 1 for p, c in zip(values, corrected, strict=True))
    ranked = [c for _, c in sorted(zip(values, corrected, strict=True))]
    assert ranked == sorted(ranked)


NOTHING = [np.zeros((0, 3)), np.zeros((2, 0)), np.array([[np.nan, 1.0]]), np.array([[np.inf]]), np.zeros(3)]


@pytest.mark.parametrize("values", NOTHING)
def test_nothing_is_estimated_from_nothing(values: Matrix) -> None:
    with pytest.raises(ValueError, match=r"expected a finite \[seeds, tasks\] matrix"):
        estimate(values)
    with pytest.raises(ValueError, match=r"expected a finite \[seeds, tasks\] matrix"):
        paired_difference(values, np.zeros_like(values))


@pytest.mark.parametrize("shape", [(2, 4), (3, 3), (1, 3), (2, 1)])
def test_what_is_not_paired_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"treatment \(2, 3\) and baseline .* are not paired"):
        paired_difference(np.zeros((2, 3)), np.zeros(shape))
