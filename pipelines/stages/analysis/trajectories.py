"""A few trajectories to look at: what was said and answered, and the credit of every step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipelines.protocols import TextCodec
from pipelines.records import ScoredTrajectory
from pipelines.schemas import CHOSEN_TRAJECTORIES, credit_columns


def choose(batch: Sequence[ScoredTrajectory]) -> list[ScoredTrajectory]:
    """A success and a failure: the first of each in the batch's first group that has both; where none has, in the batch.
    Where that lacks one of them, its first trajectory alone."""
    played = [s for s in batch if s.trajectory.steps]
    groups: dict[int, list[ScoredTrajectory]] = {}
    for scored in played:
        groups.setdefault(scored.trajectory.group, []).append(scored)
    for candidates in (*groups.values(), played):
        first = {s.trajectory.success: s for s in reversed(candidates)}
        if len(first) == 2:
            return [first[True], first[False]]
    return played[:1]


def chosen_trajectories(
    chosen: Mapping[int, Sequence[ScoredTrajectory]], codec: TextCodec, declared: Sequence[str]
) -> pa.Table:
    """A row per step of the trajectories that were chosen of each iteration's batch. ``prompt``: the trajectory's first, whole;
    ``observation``: the environment's answer to the step; ``declared``: the method's columns, as in advantages.parquet."""
    columns = credit_columns(declared)
    rows = (row for i, of_batch in chosen.items() for s in of_batch for row in _rows(i, s, codec, columns))
    return CHOSEN_TRAJECTORIES.extended(columns).of(rows)


def _rows(iteration: int, scored: ScoredTrajectory, codec: TextCodec, columns: Iterable[str]) -> list[dict[str, Any]]:
    t = scored.trajectory
    episode = {
        "iteration": iteration, "task_id": t.task.id, "task_type": t.task.task_type, "group": t.group, "member": t.member,
        "success": t.success, "score": t.score, "episode_reward": t.reward, "stop_reason": str(t.stop_reason),
        "prompt": codec.decode(t.steps[0].prompt_ids.tolist()),
    }  # fmt: skip
    return [
        episode
        | {"step": i, "text": s.text, "observation": s.observation, "reward": s.reward, "valid": s.valid}
        | {name: scored.values(name)[i] for name in columns}
        for i, s in enumerate(t.steps)
    ]
