"""Everything that one oracle says of methods: scores, differences, profiles, what computing them costs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.config.views import AdvantageView
from pipelines.credit.group_sizes import ALL, Batches, estimates_of, score_all
from pipelines.credit.profiles import Profile, calibration, positions
from pipelines.credit.replay import advantages
from pipelines.credit.scores import SCORES, Difference, Scores, differences
from pipelines.credit.signals import Signal, signals
from pipelines.credit.truth import Measured
from pipelines.environments.base import Tick


@dataclass(frozen=True, eq=False)
class Scored:
    """``scores`` by iteration and group size (``ALL``: of all). ``differences`` by score, ``calibration`` and ``positions`` by method:
    of all iterations and all members. ``signals``: what entropies say, by iteration and of all. ``milliseconds``: a method's time
    for one iteration's batch, the layout of its steps included."""

    scores: Mapping[tuple[str, str], Scores]
    differences: Mapping[str, Sequence[Difference]]
    calibration: Mapping[str, Profile]
    positions: Mapping[str, Profile]
    signals: Sequence[Signal]
    milliseconds: Mapping[str, float]


def score_methods(
    sizes: Sequence[int], batches: Batches, methods: Mapping[str, AdvantageView], measured: Measured, tick: Tick
) -> Scored:
    """``batches``: of each measured iteration. ``sizes``: of drawn groups, beside all members."""
    scores = score_all(sizes, batches, methods, measured, tick)
    _, found = estimates_of(batches, methods, measured.places)
    estimates = dict(zip(methods, found.T, strict=True))
    return Scored(
        scores,
        {name: differences(scores[ALL, ALL], name) for name in SCORES},
        calibration(estimates, measured.truth),
        positions(estimates, measured.truth),
        _signals(batches, measured),
        {name: _milliseconds(batches, view) for name, view in methods.items()},
    )


def _signals(batches: Batches, measured: Measured) -> list[Signal]:
    iteration = np.array([i for i, *_ in measured.places])
    parts = {str(i): measured.at(iteration == i) for i in batches} | {ALL: measured}
    return [signal for name, of in parts.items() for signal in signals(name, batches, of)]


def _milliseconds(batches: Batches, view: AdvantageView) -> float:
    """The least of the iterations': whatever else the machine did is in the others'."""
    found = []
    for batch in batches.values():
        start = time.perf_counter()
        advantages(batch, view)
        found.append(1000 * (time.perf_counter() - start))
    return min(found)
