"""What entropies say of a step's worth, by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from pipelines.credit.signals import NEXT, OWN, SIZE, WORTH, entropies, signals
from pipelines.credit.truth import Measured
from tests.credit.truths import known


@dataclass(frozen=True)
class Step:
    entropy: float


@dataclass(frozen=True)
class Episode:
    group: int
    member: int
    steps: tuple[Step, ...]


def played(H: list[float], member: int = 0) -> Episode:
    return Episode(0, member, tuple(map(Step, H)))


def test_a_sure_step_is_ranked_above_an_unsure_one() -> None:
    """A falls as H grows, so −H ranks it: 1. Sizes of A: 2 1 1 3 with ranks 3 1½ 1½ 4, of −H 4 3 2 1: the deviations' product is
    .5·1.5 − 1·.5 + 1·.5 − 1.5·1.5 = −1.5, over √(4.5 · 5). The next steps' −H rank the first three steps 3 2 1, as A does; their
    sizes 2 1 1 have ranks 3 1½ 1½: (1·1 + 0 + ½)/√(1.5 · 2)."""
    batch = {7: [played([0.1, 0.2, 0.3, 0.4])]}
    truth = known([2.0, 1.0, -1.0, -3.0], [0] * 4)
    found = signals("all", batch, Measured(tuple((7, 0, 0, i) for i in range(4)), truth))
    assert {(s.entropy, s.target): (s.steps, s.value) for s in found} == {
        (OWN, WORTH): (4, pytest.approx(1)),
        (OWN, SIZE): (4, pytest.approx(-1.5 / np.sqrt(4.5 * 5))),
        (NEXT, WORTH): (3, pytest.approx(1)),
        (NEXT, SIZE): (3, pytest.approx(1.5 / np.sqrt(1.5 * 2))),
    }
    assert all(s.iteration == "all" for s in found)


def test_entropies_are_the_steps_own_and_the_next_ones() -> None:
    batches = {0: [played([0.1, 0.2]), played([0.3], member=1)], 4: [played([0.5, 0.6])]}
    found = entropies(batches, [(0, 0, 0, 0), (0, 0, 1, 0), (4, 0, 0, 1)])
    assert found[OWN].tolist() == [0.1, 0.3, 0.6]
    assert found[NEXT][0] == 0.2
    assert np.isnan(found[NEXT][1:]).all()


def test_an_engine_without_entropies_has_no_signals() -> None:
    truth = replace(known([1.0, -1.0], [0, 0]))
    assert signals("0", {0: [played([np.nan, np.nan])]}, Measured(((0, 0, 0, 0), (0, 0, 0, 1)), truth)) == []
