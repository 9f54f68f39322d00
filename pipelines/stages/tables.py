"""Trajectories and advantages as Arrow tables: one row per step, readable with any Parquet reader.

``docs/artifacts.md`` lists the columns. ``to_*`` and ``from_*`` are exact inverses: a resumed run reads what the
stage before wrote and computes the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from pipelines.records import Evaluation, ScoredTrajectory, Step, StopReason, Task, Trajectory
from pipelines.schemas import ADVANTAGES, EVALUATIONS, KEY, STEPS, TASK, TRAJECTORIES
from pipelines.stages.rollout import Rollout

_ADVANTAGE_FIELDS = {
    "H": "entropy", "H_norm": "normalized_entropy", "g": "gain", "f": "clarity", "A_mod": "raw", "A_final": "final",
}  # fmt: skip


def steps_table(trajectories: Sequence[Trajectory]) -> pa.Table:
    """STEPS: every step of every trajectory that was played."""
    return STEPS.of(
        {"group": t.group, "member": t.member, "step": i}
        | {name: getattr(s, name) for name in STEPS.columns if name not in KEY}
        for t in trajectories
        for i, s in enumerate(t.steps)
    )


def trajectories_table(rollout: Rollout) -> pa.Table:
    """TRAJECTORIES: one row per episode; ``kept`` says whether its group takes part in the update."""
    kept = set(rollout.kept)
    return TRAJECTORIES.of(
        {name: getattr(t.task, name) for name in TASK}
        | {name: getattr(t, name) for name in ("group", "member", "reward", "score", "success", "attempts")}
        | {"stop_reason": str(t.stop_reason), "steps": len(t.steps), "kept": t.group in kept}
        for t in rollout.trajectories
    )


def read_rollout(trajectories: pa.Table, steps: pa.Table, batches: int) -> Rollout:
    """The rollout that ``trajectories_table`` and ``steps_table`` were made from."""
    by_key: dict[tuple[int, int], list[Step]] = {}
    for row in steps.to_pylist():
        by_key.setdefault((row["group"], row["member"]), []).append(
            Step(
                continues=row["continues"],
                prompt_ids=np.asarray(row["prompt_ids"], np.int32),
                action_ids=np.asarray(row["action_ids"], np.int32),
                logprobs=np.asarray(row["logprobs"], np.float32),
                entropies=np.asarray(row["entropies"], np.float32),
                text=row["text"],
                observation=row["observation"],
                reward=row["reward"],
                valid=row["valid"],
            )
        )
    rows = trajectories.to_pylist()
    read = tuple(
        Trajectory(
            task=Task(**{name: row[name] for name in TASK}),
            steps=tuple(by_key.get((row["group"], row["member"]), ())),
            stop_reason=StopReason(row["stop_reason"]),
            **{k: row[k] for k in ("group", "member", "reward", "score", "success", "attempts")},
        )
        for row in rows
    )
    return Rollout(read, tuple(sorted({row["group"] for row in rows if row["kept"]})), batches)


def advantages_table(scored: Sequence[ScoredTrajectory]) -> pa.Table:
    """ADVANTAGES: one row per step of the batch, keyed like STEPS."""
    return ADVANTAGES.of(
        {"group": s.trajectory.group, "member": s.trajectory.member, "step": i, "A": s.baseline}
        | {column: getattr(s, name)[i] for column, name in _ADVANTAGE_FIELDS.items()}
        for s in scored
        for i in range(len(s.trajectory.steps))
    )


def read_scored(advantages: pa.Table, batch: Sequence[Trajectory]) -> list[ScoredTrajectory]:
    """The scored batch that ``advantages_table`` was made from; ``batch`` are the rollout's kept trajectories."""
    columns = {name: advantages[name].to_numpy() for name in (*_ADVANTAGE_FIELDS, "A")}
    scored, start = [], 0
    for trajectory in batch:
        end = start + len(trajectory.steps)
        arrays = {name: columns[column][start:end] for column, name in _ADVANTAGE_FIELDS.items()}
        baseline = float(columns["A"][start]) if end > start else 0.0
        scored.append(ScoredTrajectory(trajectory=trajectory, baseline=baseline, **arrays))
        start = end
    return scored


def evaluations_table(evaluations: Sequence[Evaluation]) -> pa.Table:
    """EVALUATIONS: one row per task of the panel."""
    return EVALUATIONS.of(
        {name: getattr(e, name) for name in EVALUATIONS.columns} | {"stop_reason": str(e.stop_reason)}
        for e in evaluations
    )
