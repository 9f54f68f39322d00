"""What a step's entropy says of its worth: the ranking that EMPG's g and f rest on, held against the oracle.

g falls with the step's own entropy and multiplies the advantage; f falls with the next step's and is added. Within a batch both are
monotone, so that they rank steps as −H_t and −H_{t+1} do, whatever their constants are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.credit.group_sizes import Batches
from pipelines.credit.scores import score
from pipelines.credit.truth import Measured, Place, Truth, Vector

OWN, NEXT = "own", "next"  # −H of the step, and of the one behind it
WORTH, SIZE = "A", "|A|"


@dataclass(frozen=True)
class Signal:
    """Spearman's correlation of ``entropy`` (``OWN``, ``NEXT``), turned round, with ``target`` (``WORTH``, ``SIZE``) within tasks, mean
    over the tasks in which both vary, with its 95 % interval by a bootstrap over tasks. NaN: in none. ``steps``: that have it."""

    iteration: str
    entropy: str
    target: str
    steps: int
    value: float
    low: float
    high: float


def signals(iteration: str, batches: Batches, measured: Measured) -> list[Signal]:
    """Of the measured steps of all ``batches``; none where an engine recorded no entropies."""
    found = []
    for entropy, values in entropies(batches, measured.places).items():
        there = ~np.isnan(values)
        if there.any():
            truth = measured.truth.at(there)
            targets = {WORTH: truth, SIZE: size_of(truth)}
            found += [_signal(iteration, entropy, target, -values[there], of) for target, of in targets.items()]
    return found


def entropies(batches: Batches, places: Sequence[Place]) -> dict[str, Vector]:
    """H in nats of each place's step, and of the step behind it, float64[N]; NaN: there is none."""
    H = {
        (i, t.group, t.member, step): s.entropy
        for i, batch in batches.items()
        for t in batch
        for step, s in enumerate(t.steps)
    }
    own = [H[place] for place in places]
    behind = [H.get((i, group, member, step + 1), float("nan")) for i, group, member, step in places]
    return {OWN: np.array(own), NEXT: np.array(behind)}


def size_of(truth: Truth) -> Truth:
    """Of |A| instead of A. The halves' sizes are those of two estimates, so that their agreement is still the oracle's reliability."""
    return replace(truth, mean=abs(truth.mean), first=abs(truth.first), second=abs(truth.second), products=None)


def _signal(iteration: str, entropy: str, target: str, values: Vector, truth: Truth) -> Signal:
    found = score({entropy: values}, truth, names=("rank",))
    (low,), (high,) = found.interval("rank")
    return Signal(iteration, entropy, target, len(values), float(found.values["rank"][0]), float(low), float(high))
