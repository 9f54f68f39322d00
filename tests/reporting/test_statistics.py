"""Means, intervals, paired differences and Holm's correction, against hand computation, plain loops and simulation."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import nct, t

from pipelines.reporting.statistics import (
    Difference,
    Error,
    Matrix,
    estimate,
    holm,
    paired_difference,
    seed_means,
    verdict,
)

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


def test_interval_of_two_seeds_and_one_task() -> None:
    """Values 0 and .2, t with one degree of freedom (12.706), standard error √(.02 / 2) = .1: .1 ± 1.2706, of shares within 0 and 1,
    of their differences within −1 and 1."""
    values = np.array([[0.0], [0.2]])
    e, d, shares = (
        estimate(values),
        paired_difference(10 + values, 10 + 0 * values),
        paired_difference(values, 0 * values),
    )
    assert (e.low, e.high, shares.low, shares.high) == (0.0, 1.0, -1.0, 1.0)
    assert (d.low, d.high) == (pytest.approx(0.1 - 1.2706, abs=1e-4), pytest.approx(0.1 + 1.2706, abs=1e-4))
    assert d.p == pytest.approx(0.5)  # t = 1: half of Cauchy's distribution lies within ±1


def test_interval_of_certain_success_is_a_point() -> None:
    e = estimate(matrix([1, 1], [1, 1]))
    assert (e.low, e.mean, e.high) == (1.0, 1.0, 1.0)


def test_one_game_has_no_interval() -> None:
    d = paired_difference(matrix([1]), matrix([0]))
    assert np.isnan([d.low, d.high, d.error.detectable(1)]).all()
    assert d.p == 1


def test_the_crossed_model_by_hand() -> None:
    """Seeds' means 1, 0, −1 → variance 1, of the overall mean 1/3 with 2 degrees of freedom. Tasks' means 1, −1 → variance 2, 2/2 =
    1 with 1. What is left is 0. So variance 4/3, degrees of freedom (16/9) / ((1/9)/2 + 1/1) = 32/19."""
    values = np.array([[2.0, 0], [1, -1], [0, -2]])
    d = paired_difference(values, 0 * values)
    half = t.ppf(0.975, 32 / 19) * math.sqrt(4 / 3)
    assert d.mean == 0
    assert (d.low, d.high) == (pytest.approx(-half), pytest.approx(half))
    assert d.error.df == pytest.approx(32 / 19)


def test_seeds_within_warm_starts_by_hand() -> None:
    """Warm starts' means 3 and −3, variance 18, of the mean of two 9, with one degree of freedom; seeds vary by ±1 within. Where warm
    starts differ no more than their seeds do, the seeds are what counts: of ±1 ±1 the variance is 4/3, of the mean of four 1/3."""
    column = np.array([[4.0], [2], [-2], [-4]])
    values = np.hstack([column, column])
    d = paired_difference(values, 0 * values, starts=[7, 7, 9, 9])
    assert (d.error.se, d.error.df, d.starts, d.seeds) == (pytest.approx(3), pytest.approx(1), 2, 4)
    assert paired_difference(values, 0 * values).error.df == pytest.approx(3)
    mixed = paired_difference(np.sign(values), 0 * values, starts=[7, 9, 7, 9]).error
    assert (mixed.se, mixed.df) == (pytest.approx((1 / 3) ** 0.5), pytest.approx(3))


def test_a_warm_start_of_each_seed_is_a_seed() -> None:
    values = np.array([[2.0, 0], [1, -1], [0, -2]])
    one, other = (paired_difference(values, 0 * values, starts=starts).error for starts in ([1, 2, 3], None))
    assert one == other


def test_warm_starts_of_unequal_numbers_of_seeds_weigh_by_them() -> None:
    """Means 1 (three seeds) and −3 (one): (3·1)² and 3² of 4², times 2/(2 − 1)."""
    values = np.array([[1.0], [1], [1], [-3]])
    error = paired_difference(values, 0 * values, starts=[0, 0, 0, 1]).error
    assert (error.se**2, error.df) == (pytest.approx(18 / 16 * 2), pytest.approx(1))


def test_games_that_vary_alone_are_all_that_counts() -> None:
    """Rows and columns have one mean: both mean squares are 0, below that of games, whose residual sum of squares is 4 with one degree
    of freedom: 4 / 4 games = 1."""
    values = np.array([[1.0, -1], [-1, 1]])
    error = paired_difference(values, 0 * values).error
    assert (error.se, error.df) == (pytest.approx(1), pytest.approx(1))


def by_loops(values: Matrix) -> tuple[float, float]:
    """Standard error and degrees of freedom as a textbook's analysis of variance has them: mean squares of rows, columns, residuals."""
    S, T = values.shape
    mean = sum(values[s][t] for s in range(S) for t in range(T)) / (S * T)
    rows = [sum(values[s][t] for t in range(T)) / T for s in range(S)]
    columns = [sum(values[s][t] for s in range(S)) / S for t in range(T)]
    of_rows = T * sum((r - mean) ** 2 for r in rows) / (S - 1)
    of_columns = S * sum((c - mean) ** 2 for c in columns) / (T - 1)
    df = (S - 1) * (T - 1)
    left = sum((values[s][t] - rows[s] - columns[t] + mean) ** 2 for s in range(S) for t in range(T)) / df
    kept = [(m, f) for m, f in ((of_rows, S - 1), (of_columns, T - 1)) if m > (1 + 1e-9) * left]
    total = sum(m for m, _ in kept) + (1 - len(kept)) * left
    spread = sum(m**2 / f for m, f in kept) + ((1 - len(kept)) * left) ** 2 / df
    return math.sqrt(total / (S * T)), total**2 / spread


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(2, 5), st.integers(2, 7)), elements=st.sampled_from([-1.0, 0.0, 1.0])))
def test_the_error_is_the_plain_loops(values: Matrix) -> None:
    error = paired_difference(values, 0 * values).error
    if error.se:
        assert (error.se, error.df) == tuple(map(pytest.approx, by_loops(values)))
    else:
        assert len(set(values.flat)) == 1


def test_every_type_weighs_the_same_by_hand() -> None:
    """Three tasks of one type, one of another. Seeds: (2/3 + 0)/2 = 1/3 and (0 + 1)/2 = 1/2; mean 5/12, sd (1/6)/√2. All
    tasks alike, the seeds' means would be 2/4 and 1/4."""
    values, types = matrix([1, 0, 1, 0], [0, 1, 0, 0]), ["a", "b", "a", "a"]
    assert seed_means(values, types).tolist() == pytest.approx([1 / 3, 1 / 2])
    assert seed_means(values).tolist() == [1 / 2, 1 / 4]
    e = estimate(values, types)
    assert (e.mean, e.sd, e.seeds, e.tasks) == (pytest.approx(5 / 12), pytest.approx(1 / 6 / math.sqrt(2)), 2, 4)


def test_tasks_vary_within_their_type() -> None:
    """One seed. Type a has 1 and 0 (variance ½, of its mean ¼), type b 1 and 1 (0): a quarter of ¼ is the variance of the mean,
    with one degree of freedom. Together the tasks' variance is ¼, of their mean 1/16: the types' own difference counts too."""
    values, types = matrix([1, 0, 1, 1]), ["a", "a", "b", "b"]
    one, other = (paired_difference(values, 0 * values, of).error for of in (types, None))
    assert (one.se**2, one.df) == (pytest.approx(1 / 16), pytest.approx(1))
    assert (other.se**2, other.df) == (pytest.approx(1 / 16), pytest.approx(3))


def test_a_type_of_one_task_varies_as_the_others_do() -> None:
    """Type a has 1 and 0, variance ½ with one degree of freedom; b has one task, and is given a's: (½/2 + ½/1) / 4 = 3/16, and no
    degree of freedom more."""
    values = matrix([1, 0, 1])
    error = paired_difference(values, 0 * values, ["a", "a", "b"]).error
    assert (error.se**2, error.df) == (pytest.approx(3 / 16), pytest.approx(1))


def test_types_and_seeds_by_hand() -> None:
    """Type a: seeds ±2, tasks ±3, games ±1. b has one task: seeds ±2. Everything has one degree of freedom. Seeds: variance 8, of the
    mean of two 4. Tasks: 3 and −3, variance 18, (18/2 + 18/1) / 4 = 27/4. Games: squares 4·1, of a task's mean over two seeds
    2, (2/2 + 2/1) / 4 = 3/4. Variance 4 + 27/4 − 3/4 = 10, degrees of freedom 100 / (16 + 729/16 + 9/16)."""
    values = matrix([6, -2, 2], [0, -4, -2])
    error = paired_difference(values, 0 * values, ["a", "a", "b"]).error
    assert (error.se**2, error.df) == (pytest.approx(10), pytest.approx(100 / (16 + 738 / 16)))


def test_types_of_one_task_each_vary_by_seeds_alone() -> None:
    """Seeds' means 1 and 0, variance ½, of the mean of two ¼."""
    values = matrix([2, 0], [1, -1])
    error = paired_difference(values, 0 * values, ["a", "b"]).error
    assert (error.se, error.df) == (pytest.approx(0.5), pytest.approx(1))


@pytest.mark.parametrize("df", [1, 1.5, 2, 8, 400])
@pytest.mark.parametrize("comparisons", [1, 12])
def test_the_detectable_difference_is_that_of_noncentral_t(df: float, comparisons: int) -> None:
    found = Error(0.1, df).detectable(comparisons)
    assert nct.sf(t.ppf(1 - 0.025 / comparisons, df), df, found / 0.1) == pytest.approx(0.8, abs=1e-3)


@settings(max_examples=25, deadline=None)
@given(matrices)
def test_one_type_is_no_type(values: Matrix) -> None:
    one, other = estimate(values, ["a"] * values.shape[1]), estimate(values)
    np.testing.assert_array_equal((one.mean, one.low, one.high), (other.mean, other.low, other.high))


def covered(
    seeds: int,
    tasks: int,
    of_seeds: float,
    of_tasks: float,
    studies: int,
    types: int = 1,
    of_starts: float = 0.0,
    each: int = 1,
) -> float:
    """Share of studies whose interval holds the true difference, 0. Two arms play each task once a seed; the difference of their
    chances varies by seed and by task, and by the warm start of ``each`` so many seeds, with these standard deviations."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(studies):
        usual = rng.beta(1.2, 1.2, (1, tasks))
        half = (rng.normal(0, of_seeds, (seeds, 1)) + rng.normal(0, of_tasks, (1, tasks))) / 2
        starts = np.arange(seeds) // each
        half = half + rng.normal(0, of_starts, (seeds // each, 1))[starts] / 2 if of_starts else half
        won = [(rng.random((seeds, tasks)) < usual + side * half).astype(np.float64) for side in (1, -1)]
        labels = starts.tolist() if of_starts else None
        difference = paired_difference(*won, [str(task % types) for task in range(tasks)], labels)
        held += difference.low <= 0 <= difference.high
    return held / studies


@pytest.mark.parametrize("seeds", [3, 8, 25])
@pytest.mark.parametrize(
    ("tasks", "of_seeds", "of_tasks", "types"),
    [(128, 0, 0, 1), (128, 0.045, 0.1, 1), (512, 0.02, 0.2, 1), (128, 0.1, 0, 1), (128, 0.045, 0.1, 4)],
)
def test_intervals_hold_the_truth(seeds: int, tasks: int, of_seeds: float, of_tasks: float, types: int) -> None:
    """95 % are wanted. The components seen in two grids: by seeds (warm start and arm included) up to 20 points², .045. In 400 to
    5,000 studies of each design 92 to 98 % did; 4 standard deviations of counting 400 are 4.4 %."""
    assert 0.93 - 0.044 <= covered(seeds, tasks, of_seeds, of_tasks, 400, types) <= 0.98 + 0.02


@pytest.mark.parametrize("starts", [3, 15])
def test_intervals_over_warm_starts_hold_the_truth(starts: int) -> None:
    """Two seeds of each; warm starts bring 4.5 points, as an independent audit saw on WebShop. In 300 studies of each design of 3 to 15
    warm starts 90 to 98 % did; without the component, the seeds alone hold it less often."""
    assert 0.90 - 0.05 <= covered(2 * starts, 128, 0.03, 0.1, 200, of_starts=0.045, each=2) <= 1


def test_intervals_of_two_seeds_hold_it_less_often() -> None:
    """Why two seeds give no verdict: where seeds differ much, in 86 to 89 % of 1,500 studies."""
    assert covered(2, 128, 0.1, 0.1, 400) < 0.93


def test_what_is_called_detectable_is_detected() -> None:
    """Eight seeds that differ by .03, 128 tasks: in 80 % of studies a difference as large as the median detectable one is
    significant; 4 standard deviations of counting 300 are 9 %."""
    rng = np.random.default_rng(1)

    def study(gain: float) -> Difference:
        task, seed = rng.uniform(0.3, 0.6, (1, 128)), rng.normal(0, 0.03, (8, 1))
        better, usual = ((rng.random((8, 128)) < task + shift).astype(np.float64) for shift in (gain + seed, 0.0))
        return paired_difference(better, usual)

    gain = float(np.median([study(0).error.detectable(1) for _ in range(100)]))
    assert 0.71 <= np.mean([study(gain).p < 0.05 for _ in range(300)]) <= 0.89


@settings(max_examples=25, deadline=None)
@given(matrices)
def test_an_interval_holds_its_mean_and_stays_in_range(values: Matrix) -> None:
    e = estimate(values)
    assert np.isnan(e.low) == np.isnan(e.high) == (values.size == 1)
    if values.size > 1:
        assert 0 <= e.low <= e.mean + 1e-12
        assert e.mean - 1e-12 <= e.high <= 1 + 1e-12


@settings(max_examples=25, deadline=None)
@given(matrices, st.randoms(use_true_random=False))
def test_order_does_not_move_the_mean(values: Matrix, rng: random.Random) -> None:
    seeds, tasks = (rng.sample(range(n), n) for n in values.shape)
    one, other = estimate(values), estimate(values[np.ix_(seeds, tasks)])
    assert one.mean == pytest.approx(other.mean)
    assert one.sd == pytest.approx(other.sd, nan_ok=True)


def test_a_paired_difference_by_hand() -> None:
    # Treatment − baseline: [[0, 1], [1, 1]], mean 3/4.
    d = paired_difference(matrix([1, 1], [1, 1]), matrix([1, 0], [0, 0]))
    assert (d.mean, d.seeds, d.tasks) == (0.75, 2, 2)


def test_p_of_a_difference_that_is_always_there() -> None:
    """Four games, all alike: as likely as four coins that fall on one side, whichever, 2/16."""
    d = paired_difference(matrix([1, 1], [1, 1]), matrix([0, 0], [0, 0]))
    assert (d.low, d.high, d.p) == (1.0, 1.0, 1 / 8)
    assert math.isnan(d.error.detectable(1))


def test_verdicts() -> None:
    """All games but one won, of so many: that game is all there is of seeds, tasks and games alike, a variance of 1/games². Three seeds
    and eight tasks: 23/24 ± t₁₄/24; two: 15/16 ± t₇/16. Both are above 0 beyond doubt, which two seeds cannot say; and p by Holm
    decides."""
    won = np.ones((3, 8))
    won[0, 0] = 0
    three, two = (paired_difference(won[:seeds], 0 * won[:seeds]) for seeds in (3, 2))
    for d, games, df in ((three, 24, 14), (two, 16, 7)):
        assert (d.error.se, d.error.df) == (pytest.approx(1 / games), pytest.approx(df))
        assert d.p == pytest.approx(2 * t.sf(games - 1, df))
    assert (verdict(three, 0.04), verdict(three, 0.06)) == ("higher", "noise")
    assert verdict(paired_difference(0 * won, won), 0.04) == "lower"
    assert (verdict(two, 0.04), verdict(two, 0.06)) == ("few seeds", "noise")
    assert verdict(replace(three, starts=2), 0.04) == "few seeds", "of two warm starts"
    assert verdict(replace(three, starts=3), 0.04) == "higher"


@settings(max_examples=25, deadline=None)
@given(matrices)
def test_no_difference_is_no_difference(values: Matrix) -> None:
    d = paired_difference(values, values)
    assert (d.mean, d.p) == (0.0, 1.0)
    if values.size > 1:
        assert (d.low, d.high) == (0.0, 0.0)


@settings(max_examples=25, deadline=None)
@given(matrices)
def test_the_difference_is_antisymmetric(values: Matrix) -> None:
    other = 1.0 - values
    one, two = paired_difference(values, other), paired_difference(other, values)
    assert one.mean == pytest.approx(-two.mean)
    assert one.low == pytest.approx(-two.high, nan_ok=True)
    assert one.high == pytest.approx(-two.low, nan_ok=True)
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
