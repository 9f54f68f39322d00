"""A launcher executes the runs of a launch, in whatever processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from flows.launch.jobs import Job
from pipelines.config import RunConfig

Run = Callable[[RunConfig], None]


class Launcher(ABC):
    def batches(self, jobs: Sequence[Job]) -> list[list[Job]]:
        """The jobs that are executed together. A batch begins when the one before has ended."""
        return [list(jobs)]

    @abstractmethod
    def execute(self, jobs: Sequence[Job]) -> dict[Path, str]:
        """Execute the jobs of a batch in this order. Returns why jobs were lost, by the folders of their runs.

        Raises:
            BrokenProcessPool: the process of one was killed, and all that had not ended were ended.
        """


class InThisProcess(Launcher):
    """A single run."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def execute(self, jobs: Sequence[Job]) -> dict[Path, str]:
        for job in jobs:
            self._run(job.config)
        return {}
