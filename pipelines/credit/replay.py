"""Replay of credit: what any method gives for the steps of stored rollouts. No rollout is played and no model is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.config.views import AdvantageView
from pipelines.credit.agreement import Matrix, mean_rank_correlation, sign_agreement, task_labels
from pipelines.credit.lineage import Lineage
from pipelines.environments.base import Tick
from pipelines.records import Trajectory
from pipelines.schemas import ADVANTAGES, FINAL_ADVANTAGE, REPLAYED
from pipelines.stages.advantage import score_trajectories
from pipelines.stages.reading import read_rollout


def replay(
    lineage: Lineage, iterations: Sequence[int], methods: Mapping[str, AdvantageView], tick: Tick = lambda done: None
) -> pa.Table:
    """REPLAYED with a column float32 for each method: the advantage that it gives the step's tokens, a row per step of the kept
    groups. A method's own floats are exactly those that a run with it would train on."""
    parts = []
    for done, i in enumerate(iterations):
        batch = read_rollout(lineage.iterations[i].rollout).batch()
        columns = {name: advantages(batch, view) for name, view in methods.items()}
        part = REPLAYED.of(_keys(i, batch))
        for name, values in columns.items():
            part = part.append_column(name, pa.array(values, pa.float32()))
        parts.append(part)
        tick((done + 1) / len(iterations))
    return pa.concat_tables(parts)


def advantages(batch: Sequence[Trajectory], view: AdvantageView) -> np.ndarray:
    scored = score_trajectories(batch, view.estimator.make(), view.modulator.make(), view.credit)
    return np.concatenate([np.zeros(0, np.float32), *(s.final for s in scored)])


def _keys(iteration: int, batch: Sequence[Trajectory]) -> list[dict[str, object]]:
    return [
        {"iteration": iteration, "task_id": t.task.id, "group": t.group, "member": t.member, "step": i}
        for t in batch
        for i in range(len(t.steps))
    ]


def same_as_trained_on(lineage: Lineage, iterations: Sequence[int], values: np.ndarray) -> int:
    """How many of a method's advantages ``values``, in the order of ``replay``, are bit for bit those that the run trained on."""
    stored = [pq.read_table(lineage.iterations[i].advantage.path(ADVANTAGES.file)) for i in iterations]
    own = pa.concat_tables(stored)[FINAL_ADVANTAGE].to_numpy()
    return int((own.view(np.int32) == values.view(np.int32)).sum())


@dataclass(frozen=True, eq=False)
class Agreement:
    """Of each pair of methods: ``rank``, Spearman's coefficient within a task (group of an iteration), mean over the tasks in
    which both vary; ``sign``, the share of steps with equal signs among those that one of the two does not give 0. NaN: none."""

    methods: tuple[str, ...]
    rank: Matrix
    sign: Matrix

    @classmethod
    def of(cls, replayed: pa.Table) -> Agreement:
        methods = tuple(name for name in replayed.column_names if name not in REPLAYED.columns)
        values = np.column_stack([replayed[name].to_numpy().astype(np.float64) for name in methods])
        return cls(methods, mean_rank_correlation(values, task_labels(replayed)), sign_agreement(values))
