"""Trajectories and advantages as Arrow tables: one row per step, readable with any Parquet reader.

``docs/artifacts.md`` lists the columns. ``to_*`` and ``from_*`` are exact inverses: a resumed run reads what the
stage before wrote and computes the same bits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy.typing as npt
import pyarrow as pa

from pipelines.errors import DataError
from pipelines.protocols import TextCodec
from pipelines.records import Evaluation, ScoredTrajectory, Step, StopReason, Task, Trajectory, Verdict
from pipelines.schemas import (
    ADVANTAGES,
    ANSWERS,
    EVALUATIONS,
    KEY,
    STEPS,
    TASK,
    TRAJECTORIES,
    credit_columns,
)
from pipelines.stages.rollout import Rollout

Key = tuple[int, int, int]
_ARRAYS = [name for name, kind in STEPS.columns.items() if kind.startswith("list<")]
_COPIED = ("group", "member", "first_observation", "outcome", "reward", "score", "success", "attempts")  # as they are


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
        | {name: getattr(t, name) for name in _COPIED}
        | {"stop_reason": str(t.stop_reason), "steps": len(t.steps), "kept": t.group in kept}
        for t in rollout.trajectories
    )


def read_rollout(trajectories: pa.Table, steps: pa.Table, batches: int) -> Rollout:
    """The rollout that ``trajectories_table`` and ``steps_table`` were made from.

    Raises:
        DataError: the tables do not fit: a step or an episode is missing, or stands twice; or they lack a column.
    """
    for table, known in ((trajectories, TRAJECTORIES), (steps, STEPS)):
        if lacking := sorted(known.columns.keys() - set(table.column_names)):
            raise _does_not_fit(known.file, f"it was made before {', '.join(lacking)} was recorded")
    episodes, rows, arrays = trajectories.to_pylist(), steps.drop_columns(_ARRAYS).to_pylist(), _step_arrays(steps)
    for (group, member), times in Counter((e["group"], e["member"]) for e in episodes).items():
        if times > 1:
            raise _does_not_fit(TRAJECTORIES.file, f"group {group}, member {member} stands twice")
    keys = [(e["group"], e["member"], i) for e in episodes for i in range(e["steps"])]
    places = _places(steps, STEPS.file, keys).to_pylist()
    found = iter([_step(rows[i], {name: values[i] for name, values in arrays.items()}) for i in places])
    read = tuple(
        Trajectory(
            task=Task(**{name: e[name] for name in TASK}),
            steps=tuple(next(found) for _ in range(e["steps"])),
            stop_reason=StopReason(e["stop_reason"]),
            **{name: e[name] for name in _COPIED},
        )
        for e in episodes
    )
    return Rollout(read, tuple(sorted({e["group"] for e in episodes if e["kept"]})), batches)


def _step_arrays(steps: pa.Table) -> dict[str, list[npt.NDArray[Any]]]:
    """By column, the list of each row: a part of the table's own memory, which may not be written to. As Python's numbers a rollout
    of the paper's size would take ten times as much."""
    found = {}
    for name in _ARRAYS:
        lists = steps[name].combine_chunks()
        values, ends = lists.values.to_numpy(), lists.offsets.to_pylist()
        found[name] = [values[start:end] for start, end in pairwise(ends)]
    return found


def _step(row: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> Step:
    values = {name: value for name, value in row.items() if name not in KEY} | {"verdict": Verdict(row["verdict"])}
    return Step(**values | arrays)


def advantages_table(scored: Sequence[ScoredTrajectory], declared: Sequence[str]) -> pa.Table:
    """ADVANTAGES with the declared columns: one row per step of the batch, keyed like STEPS."""
    columns = credit_columns(declared)
    return ADVANTAGES.extended(columns).of(
        {"group": s.trajectory.group, "member": s.trajectory.member, "step": i}
        | {name: s.values(name)[i] for name in columns}
        for s in scored
        for i in range(len(s.trajectory.steps))
    )


def read_scored(advantages: pa.Table, batch: Sequence[Trajectory]) -> list[ScoredTrajectory]:
    """The scored batch that ``advantages_table`` was made from, rows found by their keys; ``batch``: ``Rollout.batch``.

    Raises:
        DataError: a step has no row or two, or a row belongs to no step of the batch.
    """
    keys = [(t.group, t.member, i) for t in batch for i in range(len(t.steps))]
    rows = advantages.take(_places(advantages, ADVANTAGES.file, keys))
    columns = {name: rows[name].to_numpy() for name in rows.column_names if name not in KEY}
    return ScoredTrajectory.of_each(batch, columns)


def _places(table: pa.Table, file: str, keys: Sequence[Key]) -> pa.Array:
    """The row of each step, in the order of ``keys``."""
    found: list[Key] = list(zip(*(table[name].to_pylist() for name in KEY), strict=True))
    places = {key: row for row, key in enumerate(found)}
    for wrong, what in (
        ([key for key, times in Counter(found).items() if times > 1], "stands twice"),
        ([key for key in keys if key not in places], "is missing"),
        (sorted(places.keys() - set(keys)), "belongs to no episode that was played"),
    ):
        if wrong:
            group, member, step = wrong[0]
            raise _does_not_fit(file, f"step {step} of group {group}, member {member} {what}")
    return pa.array([places[key] for key in keys], pa.int64())


def _does_not_fit(file: str, what: str) -> DataError:
    return DataError(f"{file}: {what}: remove the artifact and launch again, it is made anew")


def evaluations_table(evaluations: Sequence[Evaluation]) -> pa.Table:
    """EVALUATIONS: one row per episode."""
    return EVALUATIONS.of(
        {name: getattr(e, name) for name in EVALUATIONS.columns} | {"stop_reason": str(e.stop_reason)}
        for e in evaluations
    )


def read_evaluations(table: pa.Table) -> list[Evaluation]:
    """What ``evaluations_table`` was made from."""
    return [Evaluation(**row | {"stop_reason": StopReason(row["stop_reason"])}) for row in table.to_pylist()]


def answers_table(trajectories: Sequence[Trajectory], codec: TextCodec) -> pa.Table:
    """ANSWERS: every step of an evaluation's episodes."""
    return ANSWERS.of(
        {
            "task_id": t.task.id, "sample": t.member, "step": i, "tokens": len(s.action_ids),
            "prompt": "" if i else codec.decode(s.prompt_ids.tolist()), "verdict": str(s.verdict),
        } | {name: getattr(s, name) for name in ("text", "action", "observation", "reward", "valid", "cut", "entropy")}
        for t in trajectories
        for i, s in enumerate(t.steps)
    )  # fmt: skip
