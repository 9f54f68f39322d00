"""The update stage: training sequences in, new weights out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from pipelines.config import UpdateSettings
from pipelines.protocols import Learner
from pipelines.records import ScoredTrajectory
from pipelines.stages.sequences import training_sequences


def update_policy(
    learner: Learner, scored: Sequence[ScoredTrajectory], settings: UpdateSettings, *, seed: int
) -> dict[str, float]:
    """One policy update on the batch. A batch without sequences (dynamic sampling found no informative group) leaves
    the policy as it is and says so: ``update/skipped`` = 1."""
    sequences = training_sequences(scored)
    if not sequences:
        return {"update/skipped": 1.0}
    metrics = asdict(learner.update(sequences, settings, seed=seed))
    extra = metrics.pop("extra")
    return {
        "update/skipped": 0.0,
        "update/learning_rate": settings.learning_rate,
        "update/sequences": float(len(sequences)),
        "update/padding": 1.0 - float(np.mean([len(s) for s in sequences])) / max(len(s) for s in sequences),
        **{f"update/{name}": float(value) for name, value in (metrics | extra).items()},
    }
