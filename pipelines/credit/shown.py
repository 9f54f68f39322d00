"""A few trajectories with what each method gives their steps, to be looked at beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from pipelines.config.views import AdvantageView
from pipelines.credit.group_sizes import Batches
from pipelines.credit.replay import advantages
from pipelines.records import ScoredTrajectory
from pipelines.schemas import CHOSEN_TRAJECTORIES, FINAL_ADVANTAGE
from pipelines.stages.analysis.trajectories import choose

ENTROPY = "H"


def shown_trajectories(batches: Batches, methods: Mapping[str, AdvantageView]) -> pa.Table:
    """CHOSEN_TRAJECTORIES with ``H`` and a float32 column a method: of the first and the last of the iterations a success and a
    failure. ``prompt``: what the environment showed first."""
    rows = []
    for i in sorted({min(batches), max(batches)}):
        columns = {name: advantages(batches[i], view) for name, view in methods.items()}
        first = next(iter(columns.values()))
        for scored in choose(ScoredTrajectory.of_each(batches[i], {**columns, FINAL_ADVANTAGE: first})):
            rows += _rows(i, scored, list(columns))
    return CHOSEN_TRAJECTORIES.extended(dict.fromkeys((ENTROPY, *methods), "float32")).of(rows)


def _rows(iteration: int, scored: ScoredTrajectory, methods: Sequence[str]) -> list[dict[str, object]]:
    t = scored.trajectory
    episode = {
        "iteration": iteration, "task_id": t.task.id, "task_type": t.task.task_type, "group": t.group, "member": t.member,
        "success": t.success, "score": t.score, "episode_reward": t.reward, "stop_reason": str(t.stop_reason),
        "prompt": t.first_observation,
    }  # fmt: skip
    return [
        episode
        | {
            "step": i,
            "text": s.text,
            "observation": s.observation,
            "reward": s.reward,
            "valid": s.valid,
            ENTROPY: s.entropy,
        }
        | {name: float(scored.columns[name][i]) for name in methods}
        for i, s in enumerate(t.steps)
    ]
