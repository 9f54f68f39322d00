"""The same steps under two policies: the entropies of the first rollout's steps before and after training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch

from empg import step_means
from pipelines.protocols import Scorer
from pipelines.records import Score, TrainingSequence, Trajectory
from pipelines.schemas import ENTROPY_CHANGE
from pipelines.stages.sequences import unscored_rows


def entropy_change(trajectories: Sequence[Trajectory], scorer: Scorer) -> pa.Table:
    """A row per step: its mean token entropy (nats) under the policy that played it and under ``scorer``'s, the trained one,
    whose frozen reference is the one that played. The former is what was recorded; where an engine recorded none (NaN),
    the reference scores it."""
    rows = [unscored_rows(t) for t in trajectories]
    after = _step_entropies(rows, scorer.score([row for of_one in rows for row in of_one]))
    before = [[step.entropy for step in t.steps] for t in trajectories]
    if any(np.isnan(values).any() for values in before):
        before = _step_entropies(rows, scorer.score([row for of_one in rows for row in of_one], reference=True))
    keys = [{"task_id": t.task.id, "group": t.group, "member": t.member} for t in trajectories]
    rows_out = [
        key | {"step": i, "entropy_before": values[0], "entropy_after": values[1]}
        for key, *of_one in zip(keys, before, after, strict=True)
        for i, values in enumerate(zip(*of_one, strict=True))
    ]
    return ENTROPY_CHANGE.of(rows_out)


def _step_entropies(rows: Sequence[Sequence[TrainingSequence]], scores: Sequence[Score]) -> list[list[float]]:
    """Per trajectory its steps' entropies, accumulated in float64; ``scores`` in the order of the rows."""
    left = iter(scores)
    entropies = []
    for of_one in rows:
        values = [torch.from_numpy(next(left).entropies).double() for _ in of_one]
        ids = [torch.from_numpy(row.step_ids) for row in of_one]
        steps = 1 + max((int(i.max()) for i in ids), default=-1)
        entropies.append(step_means(torch.cat(values), torch.cat(ids), steps).tolist() if steps else [])
    return entropies
