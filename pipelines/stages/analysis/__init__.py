"""The analysis stage: what training did to a finished run's policy, in three small tables for figures and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa

from pipelines import schemas
from pipelines.config.views import AnalysisView
from pipelines.protocols import Policy
from pipelines.records import ScoredTrajectory, Trajectory
from pipelines.registry import policy_spec
from pipelines.stages.analysis.entropy_change import entropy_change
from pipelines.stages.analysis.proposition1 import proposition1
from pipelines.stages.analysis.trajectories import chosen_trajectories

ENTROPY_CHANGE, PROPOSITION1, TRAJECTORIES = TABLES = tuple(
    table.file for table in (schemas.ENTROPY_CHANGE, schemas.PROPOSITION1, schemas.CHOSEN_TRAJECTORIES)
)


def absent_tables(view: AnalysisView) -> dict[str, str]:
    """The tables that the configuration rules out, each with the reason as a reader is told it."""
    policy = view.policy.policy
    if not view.iterations:
        return dict.fromkeys(TABLES, "nothing was trained")
    if not policy.scores:
        return dict.fromkeys(TABLES, f"policy={policy.name} scores no tokens")
    if policy_spec(policy.name).token_logits is None:
        return {PROPOSITION1: f"policy={policy.name} does not show its logits"}
    return {}


def analyse(
    view: AnalysisView,
    policy: Policy,
    played: Sequence[Trajectory],
    chosen: Mapping[int, Sequence[ScoredTrajectory]],
    models: Mapping[str, Path],
) -> dict[str, pa.Table]:
    """The tables by file name.

    Args:
        policy: the trained one. played: every trajectory of the first rollout. chosen: those to look at (``trajectories.choose``) by
            iteration.
        models: the folders "initial" and "final" whose logits are examined; empty where nobody can see them.
    """
    declared = [column.name for column in view.advantage.columns]
    tables = {
        ENTROPY_CHANGE: entropy_change(played, policy.learner),
        TRAJECTORIES: chosen_trajectories(chosen, policy.sampler.codec, declared),
    }
    token_logits = policy_spec(view.policy.policy.name).token_logits
    if models and token_logits is not None:
        logits_of = partial(token_logits, view.policy.policy, temperature=view.policy.temperature)
        tables[PROPOSITION1] = proposition1(played, models, logits_of, seed=view.seed)
    return tables
