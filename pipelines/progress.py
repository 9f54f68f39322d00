"""How much of a run's work is done: what a bar shows, and what an estimate of the time left goes by."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.config import ExperimentConfig
from pipelines.config.views import ScheduleView

ROLLOUT = 0.6  # of an iteration's time; the update has the rest


@dataclass(frozen=True)
class Work:
    """Of a run, in iterations' time: ``done`` of ``total``; of that, ``worked`` was done here, and ``found`` in the store."""

    done: float
    total: float
    worked: float
    found: float


class Progress:
    """``evaluation``: an evaluation's share of an iteration's time, by the episodes that both play."""

    def __init__(self, experiment: ExperimentConfig) -> None:
        schedule, training, evaluation = ScheduleView.of(experiment), experiment.training, experiment.evaluation
        self.evaluation = ROLLOUT * evaluation.games * evaluation.samples / (training.tasks * training.group_size)
        evaluations = 1 + -(-schedule.iterations // schedule.every)
        self._total = schedule.iterations + evaluations * self.evaluation
        self._stage, self._worked, self._found = 0.0, 0.0, 0.0

    def inside(self, units: float, *, found: bool = False) -> None:
        """``units`` of the stage that is at work are done, the last of them here, or ``found``. Never backwards: one that is tried
        again begins anew, the run does not."""
        self._reach(self._stage + units, found=found)

    def after(self, units: float, *, found: bool) -> None:
        """A stage of ``units`` has ended."""
        self._stage += units
        self._reach(self._stage, found=found)

    @property
    def work(self) -> Work:
        return Work(min(self._worked + self._found, self._total), self._total, self._worked, self._found)

    def _reach(self, done: float, *, found: bool) -> None:
        more = max(done - self._worked - self._found, 0.0)
        if found:
            self._found += more
        else:
            self._worked += more
