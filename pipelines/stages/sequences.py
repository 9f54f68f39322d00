"""Steps → training sequences: both layouts through one code path.

A step that continues the previous one extends its sequence (``history: full`` gives one sequence per trajectory); a
step with a fresh context starts a new one (``history: 2`` gives one row per step). The spans are the recorded ones:
nothing is searched for in token ids.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.records import FloatArray, ScoredTrajectory, Step, TrainingSequence, Trajectory


def training_sequences(scored: Sequence[ScoredTrajectory]) -> list[TrainingSequence]:
    """All rows of a batch, in trajectory order, then step order."""
    return [row for each in scored for row in rows_of(each.trajectory, each.final)]


def unscored_rows(trajectory: Trajectory) -> list[TrainingSequence]:
    """For ``Policy.score``, which reads no advantages: they are 0."""
    return rows_of(trajectory, np.zeros(len(trajectory.steps), np.float32))


def rows_of(trajectory: Trajectory, advantages: FloatArray) -> list[TrainingSequence]:
    """A trajectory's rows; ``advantages`` float32[number of steps]."""
    rows: list[list[int]] = []
    for index, step in enumerate(trajectory.steps):
        if step.continues:
            rows[-1].append(index)
        else:
            rows.append([index])
    return [_sequence(trajectory.steps, indices, advantages) for indices in rows]


def _sequence(steps: Sequence[Step], indices: Sequence[int], advantages: FloatArray) -> TrainingSequence:
    tokens, mask, logprobs, spread, ids = [], [], [], [], []
    for i in indices:
        step, p, m = steps[i], len(steps[i].prompt_ids), len(steps[i].action_ids)
        tokens += [step.prompt_ids, step.action_ids]
        mask += [np.zeros(p, bool), np.ones(m, bool)]
        logprobs += [np.zeros(p, np.float32), step.logprobs]
        spread += [np.zeros(p, np.float32), np.full(m, advantages[i], np.float32)]
        ids += [np.full(p, -1, np.int32), np.full(m, i, np.int32)]
    return TrainingSequence(
        token_ids=np.concatenate(tokens).astype(np.int32),
        action_mask=np.concatenate(mask),
        behaviour_logprobs=np.concatenate(logprobs).astype(np.float32),
        advantages=np.concatenate(spread),
        step_ids=np.concatenate(ids),
    )
