"""The records that an artifact's tables hold."""

from __future__ import annotations

import pyarrow.parquet as pq

from pipelines import schemas
from pipelines.artifacts import Artifact
from pipelines.errors import DataError
from pipelines.files import read_json
from pipelines.records import ScoredTrajectory
from pipelines.stages import tables
from pipelines.stages.rollout import Rollout


def read_metrics(artifact: Artifact) -> dict[str, float]:
    values: dict[str, float] = read_json(artifact.path(schemas.METRICS_JSON))
    return values


def read_rollout(artifact: Artifact) -> Rollout:
    """Raises DataError: its tables do not fit, or were made before a column was recorded; the message names the folder."""
    trajectories = pq.read_table(artifact.path(schemas.TRAJECTORIES.file))
    batches = int(read_metrics(artifact)["rollout/generation_batches"])
    try:
        return tables.read_rollout(trajectories, pq.read_table(artifact.path(schemas.STEPS.file)), batches)
    except DataError as error:
        raise DataError(f"{artifact.folder}: {error}") from None


def read_scored(rollout: Artifact, advantage: Artifact) -> list[ScoredTrajectory]:
    """The batch of ``rollout`` with the advantages that were made from it."""
    return scored(read_rollout(rollout), advantage)


def scored(rollout: Rollout, advantage: Artifact) -> list[ScoredTrajectory]:
    """The same, of a rollout that was read."""
    return tables.read_scored(pq.read_table(advantage.path(schemas.ADVANTAGES.file)), rollout.batch())
