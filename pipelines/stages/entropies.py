"""Exact entropies for steps whose engine gave none: one scoring pass over the batch, under the weights that sampled it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipelines.protocols import Scorer
from pipelines.records import Score, TrainingSequence, Trajectory
from pipelines.stages.sequences import unscored_rows


def with_entropies(scorer: Scorer, trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    """The same trajectories, every step's entropies known (nats, float32, of the policy at its sampling temperature)."""
    lacking = [t for t in trajectories if any(np.isnan(step.entropies).any() for step in t.steps)]
    rows = [unscored_rows(t) for t in lacking]
    scores = iter(scorer.score([row for of_one in rows for row in of_one]) if lacking else [])
    known = {
        id(trajectory): _filled(trajectory, of_one, [next(scores) for _ in of_one])
        for trajectory, of_one in zip(lacking, rows, strict=True)
    }
    return [known.get(id(t), t) for t in trajectories]


def _filled(trajectory: Trajectory, rows: Sequence[TrainingSequence], scores: Sequence[Score]) -> Trajectory:
    steps = list(trajectory.steps)
    for row, score in zip(rows, scores, strict=True):
        for index in sorted(set(row.step_ids[row.action_mask].tolist())):
            steps[index] = replace(steps[index], entropies=score.entropies[row.step_ids == index])
    return replace(trajectory, steps=tuple(steps))
