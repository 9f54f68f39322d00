"""A few trajectories to look at: what was said and answered, and what EMPG made of every step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipelines.protocols import TextCodec
from pipelines.records import ScoredTrajectory
from pipelines.schemas import CHOSEN_TRAJECTORIES


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


def chosen_trajectories(batches: Mapping[int, Iterable[ScoredTrajectory]], codec: TextCodec) -> pa.Table:
    """A row per step of the chosen trajectories of each iteration's batch. ``prompt``: the trajectory's first, whole;
    ``observation``: the environment's answer to the step; the other columns as in advantages.parquet."""
    rows = (row for i, batch in batches.items() for s in choose(list(batch)) for row in _rows(i, s, codec))
    return CHOSEN_TRAJECTORIES.of(rows)


def _rows(iteration: int, scored: ScoredTrajectory, codec: TextCodec) -> list[dict[str, Any]]:
    t = scored.trajectory
    episode = {
        "iteration": iteration, "task_id": t.task.id, "task_type": t.task.task_type, "group": t.group, "member": t.member,
        "success": t.success, "score": t.score, "episode_reward": t.reward, "stop_reason": str(t.stop_reason),
        "prompt": codec.decode(t.steps[0].prompt_ids.tolist()), "A": scored.baseline,
    }  # fmt: skip
    return [
        episode
        | {"step": i, "text": s.text, "observation": s.observation, "reward": s.reward, "valid": s.valid}
        | {"H": scored.entropy[i], "H_norm": scored.normalized_entropy[i], "g": scored.gain[i]}
        | {"f": scored.clarity[i], "A_mod": scored.raw[i], "A_final": scored.final[i]}
        for i, s in enumerate(t.steps)
    ]
