"""What runs cost, roughly: for starting the long ones first and for telling how much is left. Never part of what a run is."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pipelines.config import ExperimentConfig, StandIn
from pipelines.config.views import DataView, StandInView, WarmStartView
from pipelines.planning.plan import plan
from pipelines.registry import benchmark_spec

# Seconds of one core while all are at work, by the smallest stand-in (hidden size 64, 3 layers).
_TOKEN_S = 5.7e-5  # of a warm start
_RUN_S = 3.0  # of a run that finds everything
_GROWTH = 0.76  # what a stand-in costs grows with hidden size × layers to this power (measured: ×1.5 1.36)


@dataclass(frozen=True, slots=True)
class Shared:
    """What a run's launch makes once for all runs like it. ``key``: the same for those that share it, "" for none; ``data``:
    the same for those whose tasks are the same."""

    key: str
    data: str
    seconds: float


def run_seconds(experiment: ExperimentConfig) -> float:
    """Of a run's iterations and evaluations; by the plan where its policy has one."""
    planned = plan(experiment)
    if planned is not None:
        return _RUN_S + planned.seconds
    training, evaluation = experiment.training, experiment.evaluation
    played = training.iterations * training.tasks * training.group_size
    evaluations = -(-training.iterations // evaluation.every) + 1
    steps = (played + evaluations * evaluation.games) * experiment.benchmark.max_steps
    return _RUN_S + steps * benchmark_spec(experiment.benchmark.name).step_seconds * _weight(experiment.model.stand_in)


def shared(experiment: ExperimentConfig) -> Shared:
    """The warm start: two runs that agree in these values wait for the same one."""
    data, view = json.dumps(DataView.of(experiment).values()), WarmStartView.of(experiment)
    if view is None:
        return Shared("", data, 0.0)
    own = json.dumps({"model": StandInView.of(experiment).values(), "warm_start": view.values()})
    return Shared(own, data, view.settings.tokens * _TOKEN_S * _weight(experiment.model.stand_in))


def _weight(model: StandIn) -> float:
    return float((model.hidden_size * model.layers / (64 * 3)) ** _GROWTH)
