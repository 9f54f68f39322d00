"""What the analysis reads of a run's rollouts: of the paper's size one is large, so each is read once."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.artifacts import Artifact
from pipelines.records import ScoredTrajectory, Trajectory
from pipelines.stages.analysis.trajectories import choose
from pipelines.stages.reading import read_rollout, scored


def first_and_chosen(
    batches: Mapping[int, tuple[Artifact, Artifact]],
) -> tuple[tuple[Trajectory, ...], dict[int, list[ScoredTrajectory]]]:
    """``batches``: rollout and advantages by iteration, the first, 0, among them. Returns every trajectory of the first rollout, and
    those of each batch that are looked at."""
    first, chosen = read_rollout(batches[0][0]), {}
    for i, (rollout, advantage) in batches.items():
        chosen[i] = choose(scored(first if i == 0 else read_rollout(rollout), advantage))
    return first.trajectories, chosen
