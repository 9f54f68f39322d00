"""Entropies of an engine that gives none: the trainer's, put where they belong, in both layouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.policies.local.policy import local_policy
from pipelines.records import Score, TrainingSequence, Trajectory
from pipelines.stages.entropies import with_entropies
from tests.pipelines import played
from tests.policies.conftest import SHAPE, peaked
from tests.policies.play import Turn, converse


def trajectory(turns: Sequence[Turn], member: int) -> Trajectory:
    steps = tuple(
        played.step(
            turn.prompt_ids,
            turn.generation.action_ids.tolist(),
            continues=turn.continues,
            logprobs=turn.generation.logprobs,
            entropies=turn.generation.entropies,
            text=turn.generation.text,
        )
        for turn in turns
    )
    return played.trajectory(0, member, steps)


def blank(known: Trajectory) -> Trajectory:
    steps = tuple(replace(s, entropies=np.full_like(s.entropies, np.nan)) for s in known.steps)
    return replace(known, steps=steps)


@pytest.mark.parametrize("growing", [True, False], ids=["history full", "history 2"])
def test_the_samplers_own_are_found_again(growing: bool, tmp_path: Path) -> None:
    policy = local_policy(peaked(SHAPE, tmp_path), temperature=1.0)
    known = [trajectory(turns, i) for i, turns in enumerate(converse(policy.sampler, growing=growing))]
    filled = with_entropies(policy.learner, [blank(known[0]), known[1], blank(known[2])])
    assert filled[1] is known[1]
    for ours, theirs in zip(filled, known, strict=True):
        for a, b in zip(ours.steps, theirs.steps, strict=True):
            np.testing.assert_allclose(a.entropies, b.entropies, atol=1e-5)
            assert (a.logprobs == b.logprobs).all()  # the sampler's stay


def test_nothing_is_scored_where_all_is_known() -> None:
    class Unasked:
        def score(self, sequences: Sequence[TrainingSequence], *, reference: bool = False) -> list[Score]:
            raise AssertionError("asked")

    whole = played.trajectory(steps=[played.step()])
    assert with_entropies(Unasked(), [whole]) == [whole]
