"""A run's plan as the rest of the platform sees it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from pipelines.config import ExperimentConfig


class Plan(Protocol):
    """What a run would need, estimated from its configuration alone."""

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        ...

    @property
    def gpus(self) -> int:
        """That the run holds as long as it lasts."""
        ...

    @property
    def misfits(self) -> tuple[str, ...]:
        """What does not fit, with the numbers and the remedy; empty: everything does."""
        ...

    @property
    def assumptions(self) -> str:
        """What the estimate takes for granted, in a sentence."""
        ...

    def rows(self, runs: int) -> Iterable[tuple[str, str]]:
        """Label and text of each line that shows it, "" for a line that belongs to the one above; ``runs`` are planned alike."""
        ...


def plan(experiment: ExperimentConfig) -> Plan | None:
    """None: the policy is one process on this machine, and needs no plan.

    Raises:
        ConfigError: the model is unknown, or cannot be spread like this.
    """
    return experiment.policy.plan(experiment)
