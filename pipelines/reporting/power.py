"""What a study of a given size can tell: variance components of paired differences, from runs that are finished, and the error that
they give any other size. Pure functions on matrices [seeds, tasks]; variances are of shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.reporting.statistics import LEVEL, POWER, Matrix, Starts, paired_difference

SEEDS_AT_MOST = 4096  # beyond, no design is looked for
DRAWS = 4000


@dataclass(frozen=True)
class Paired:
    """Two arms of one cell, matrices [seeds, tasks] of the means of ``samples`` games; ``starts`` as in ``paired_difference``."""

    treatment: Matrix
    baseline: Matrix
    starts: Starts
    samples: int = 1


@dataclass(frozen=True)
class Component:
    """A variance, never below 0, with its 95 % interval by chi-square; ``df``: degrees of freedom of its mean square, 0 where nothing
    is known of it."""

    variance: float
    low: float
    high: float
    df: int


@dataclass(frozen=True)
class Components:
    """Of the difference of one game of either arm: what its warm start, its seed and its task bring to the arms' difference, and the
    dice of two games (with one game of a task, what a seed brings to a task's difference is among the dice). ``usual``: the arms' mean
    success."""

    start: Component
    seed: Component
    task: Component
    dice: float
    usual: float


@dataclass(frozen=True)
class Design:
    """Of each arm: ``starts`` warm starts, ``seeds`` of each, ``tasks`` played ``samples`` times."""

    starts: int
    seeds: int
    tasks: int
    samples: int = 1

    @property
    def pairs(self) -> int:
        return self.starts * self.seeds


class _Squares:
    """Mean squares of several analyses of variance, pooled by their degrees of freedom: ``above`` those of games, and what the
    component is multiplied by in them."""

    def __init__(self) -> None:
        self.square = self.df = self.weight = self.games = 0.0

    def add(self, square: float, df: int, weight: float, games: float) -> None:
        self.square, self.df = self.square + df * square, self.df + df
        self.weight, self.games = self.weight + df * weight, self.games + df * games

    def component(self) -> Component:
        from scipy.stats import chi2

        if not self.df:
            return Component(0.0, 0.0, float("nan"), 0)
        variance, low, high = (
            max(0.0, (self.square / by - self.games / self.df) * self.df / self.weight)
            for by in (self.df, chi2.ppf(0.975, self.df), chi2.ppf(0.025, self.df))
        )
        return Component(variance, low, high, round(self.df))


def components_of(pairs: Sequence[Paired]) -> Components:
    """Pooled over the pairs, each of one panel: expected mean squares of the crossed layout, seeds nested in warm starts (Searle,
    Casella and McCulloch, Variance Components, 1992, chapter 4). Raises ValueError where no pair has two seeds and two tasks."""
    known = [pair for pair in pairs if min(pair.treatment.shape) > 1]
    if not known:
        raise ValueError("no pair of arms has two seeds and two tasks")
    start, seed, task, dice = _Squares(), _Squares(), _Squares(), _Squares()
    for pair in known:
        values = pair.treatment - pair.baseline
        seeds, tasks = values.shape
        games = _games(values)
        dice.add(games * pair.samples, (seeds - 1) * (tasks - 1), 1.0, 0.0)
        task.add(seeds * float(values.mean(0).var(ddof=1)), tasks - 1, seeds, games)
        of_starts, of_seeds, spread = _nested(values.mean(1), pair.starts)
        count = len(set(pair.starts))
        if seeds > count:
            seed.add(tasks * of_seeds, seeds - count, tasks, games)
        if count > 1:
            above = tasks * of_seeds if seeds > count else games
            start.add(tasks * of_starts, count - 1, tasks * spread, above)
    usual = float(np.mean([np.mean([pair.treatment, pair.baseline]) for pair in known]))
    return Components(start.component(), seed.component(), task.component(), dice.component().variance, usual)


def _games(values: Matrix) -> float:
    left = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    return float((left**2).sum() / ((len(values) - 1) * (values.shape[1] - 1)))


def _nested(means: Matrix, starts: Starts) -> tuple[float, float, float]:
    """Mean squares of the warm starts' means and of seeds within a warm start, and the effective number of seeds of one."""
    labels = np.array(starts)
    groups = [means[labels == label] for label in sorted(set(starts))]
    sizes, seeds = np.array([len(group) for group in groups]), len(means)
    within = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    between = sum(float(len(group) * (group.mean() - means.mean()) ** 2) for group in groups)
    several = max(len(groups) - 1, 1)
    return between / several, within / max(seeds - len(groups), 1), float(seeds - (sizes**2).sum() / seeds) / several


def power(parts: Components, design: Design, effect: float, comparisons: int = 1) -> float:
    """The share of studies of this size that tell a true difference of ``effect`` from 0, where the level is shared by so many
    comparisons (as in Holm's first step): the test of the tables on mean squares that are drawn, games being normal. Where a
    component is 0, its mean square is above that of games in half of the studies all the same, which makes these less certain."""
    from scipy.stats import norm, t

    rng = np.random.Generator(np.random.Philox(key=0))
    single = parts.dice / (design.pairs * design.tasks * design.samples)
    games = _drawn(rng, single, (design.pairs - 1) * (design.tasks - 1))
    tasks = _drawn(rng, single + parts.task.variance / design.tasks, design.tasks - 1)
    runs, df = _of_runs(parts, design, single, rng)
    kept = [(runs > games, runs, df), (tasks > games, tasks, design.tasks - 1)]
    times = 1.0 - sum(is_kept.astype(float) for is_kept, _, _ in kept)
    found = sum(is_kept * part for is_kept, part, _ in kept) + times * games
    spread = sum(is_kept * part**2 / of for is_kept, part, of in kept)
    spread = spread + (times * games) ** 2 / ((design.pairs - 1) * (design.tasks - 1))
    beyond = t.ppf(1 - LEVEL / 2 / comparisons, found**2 / spread) * np.sqrt(found)
    true = single + parts.task.variance / design.tasks + parts.seed.variance / design.pairs
    error = (true + parts.start.variance / design.starts) ** 0.5
    return float(np.mean(norm.sf((beyond - effect) / error) + norm.cdf((-beyond - effect) / error)))


def _drawn(rng: np.random.Generator, variance: float, df: int) -> Matrix:
    """What a mean square adds to the variance of the overall mean, in studies [DRAWS]."""
    return variance * rng.chisquare(df, DRAWS) / df


def _of_runs(parts: Components, design: Design, single: float, rng: np.random.Generator) -> tuple[Matrix, Matrix]:
    """As ``statistics`` takes it, with its degrees of freedom: of warm starts' means where these vary more than the seeds of one."""
    of_seeds = parts.seed.variance / design.pairs + single
    pairs, within = design.pairs - 1, design.pairs - design.starts
    if design.starts == 1 or not within:
        return _drawn(rng, of_seeds + parts.start.variance / design.starts, pairs), np.full(DRAWS, float(pairs))
    between = _drawn(rng, parts.start.variance / design.starts + of_seeds, design.starts - 1)
    inside = _drawn(rng, of_seeds, within)
    pooled = (between * (design.starts - 1) + inside * within) / pairs
    above = between > inside
    return np.where(above, between, pooled), np.where(above, design.starts - 1.0, float(pairs))


def detectable(parts: Components, design: Design, comparisons: int = 1) -> float:
    """The true difference that ``POWER`` of studies of this size tell from 0; where nothing varies, any is told."""
    from scipy.optimize import brentq

    if not (parts.dice or parts.task.variance or parts.seed.variance or parts.start.variance):
        return 0.0

    def lacking(effect: float) -> float:
        return power(parts, design, effect, comparisons) - POWER

    most = 1.0
    while lacking(most) < 0:
        most *= 2
    return float(brentq(lacking, 0.0, most, xtol=1e-4))


def seeds_needed(parts: Components, design: Design, effect: float, comparisons: int = 1) -> Design | None:
    """The design with the fewest warm starts, or where there is one with the fewest seeds, that tells ``effect`` from 0 with ``POWER``;
    None: none of up to ``SEEDS_AT_MOST`` seeds does, for the tasks alone vary too much."""
    several = design.starts > 1

    def of(count: int) -> Design:
        return replace(design, starts=count) if several else replace(design, seeds=count)

    def tells(count: int) -> bool:
        return power(parts, of(count), effect, comparisons) >= POWER

    least, most = 3, SEEDS_AT_MOST
    if not tells(most):
        return None
    while least < most:
        middle = (least + most) // 2
        least, most = (least, middle) if tells(middle) else (middle + 1, most)
    return of(least)


def rejected(parts: Components, design: Design, effect: float, studies: int, *, seed: int = 0) -> float:
    """The share of simulated studies of this design that call a true difference of ``effect`` significant at 5 %, by the test of the
    tables. Games are drawn one by one; chances differ by task as much as the dice's variance says."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    return float(np.mean([_study(parts, design, effect, rng) < 0.05 for _ in range(studies)]))


def _study(parts: Components, design: Design, effect: float, rng: np.random.Generator) -> float:
    """The p of one."""
    starts = np.repeat(np.arange(design.starts), design.seeds)
    usual = _chances(parts, design.tasks, rng)
    # An effect is largest where a task is neither hopeless nor certain, so that no chance leaves [0, 1]; its mean is as asked.
    open_to = usual * (1 - usual) / np.mean(usual * (1 - usual))
    of_runs = rng.normal(0, parts.start.variance**0.5, design.starts)[starts]
    of_runs = of_runs + rng.normal(0, parts.seed.variance**0.5, design.pairs)
    of_tasks = rng.normal(0, parts.task.variance**0.5, design.tasks)
    shift = (effect + of_runs[:, None]) * open_to + of_tasks * open_to / np.sqrt(np.mean(open_to**2))
    won = [rng.binomial(design.samples, np.clip(usual + side * shift / 2, 0, 1)) / design.samples for side in (1, -1)]
    return paired_difference(won[0], won[1], starts=starts.tolist()).p


def _chances(parts: Components, tasks: int, rng: np.random.Generator) -> Matrix:
    """Of each task, with the mean success and, where a beta distribution can, the dice's variance 2 E[p(1 − p)]."""
    mean = float(np.clip(parts.usual, 0.02, 0.98))
    share = float(np.clip(parts.dice / (2 * mean * (1 - mean)), 0.05, 0.98))
    size = share / (1 - share)  # a + b of Beta(a, b), for E[p(1 − p)] = m(1 − m)(a + b)/(a + b + 1)
    chances: Matrix = np.clip(rng.beta(mean * size, (1 - mean) * size, tasks), 1e-6, 1 - 1e-6)
    return chances
