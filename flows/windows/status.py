"""How a launch stands: the state of each run, from the files that the runs write, and what is left of the whole."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from flows.job import failure_file
from flows.launch.jobs import Job, names
from flows.windows.remaining import Left, Pace, seconds_left
from pipelines.run_folder import is_finished


@dataclass
class Run:
    """``share``: of its own work; ``made``: of the warm start, while it makes it."""

    job: Job
    name: str
    state: Literal["waiting", "running", "done", "failed"] = "waiting"
    share: float = 0.0
    made: float | None = None
    text: str = ""


class Standing:
    """``todo``: what is launched, in order, of all ``jobs``; the others were done before."""

    def __init__(self, todo: Sequence[Job], jobs: Sequence[Job]) -> None:
        launched = {job.folder: place for place, job in enumerate(todo)}
        runs = [Run(job, name) for job, name in zip(jobs, names(jobs), strict=True)]
        self.runs = sorted(runs, key=lambda run: launched.get(run.job.folder, -1))
        for run in self.runs:
            if run.job.folder not in launched:
                run.state, run.share = "done", 1.0
        # What is left of each warm start, as a fraction. One that some run is past was made.
        self._unmade = {job.shared.key: 1.0 for job in todo if job.shared.key}
        self._cost = {job.shared.key: job.shared.seconds for job in todo}
        self._pace = Pace()
        self._processes = 1
        self._looked = time.monotonic()
        self._see_what_is_made()

    @property
    def running(self) -> list[Run]:
        return [run for run in self.runs if run.state == "running"]

    @property
    def has_begun(self) -> bool:
        """Whether a run has told anything."""
        return any(run.text for run in self.runs)

    @property
    def share(self) -> float:
        """Of the expected work, the shared included."""
        shared = sum(self._cost.values())
        total = shared + sum(run.job.seconds for run in self.runs)
        open_ = sum(self._cost[key] * left for key, left in self._unmade.items())
        open_ += sum(run.job.seconds * (1 - run.share) for run in self.runs if run.state != "failed")
        return 1.0 - open_ / total

    @property
    def seconds_left(self) -> float:
        running = [self._left(run) for run in self.running]
        waiting = [self._left(run) for run in self.runs if run.state == "waiting"]
        making = {key: self._cost[key] * left for key, left in self._unmade.items()}
        return self._pace.factor * seconds_left(running, waiting, making, self._processes)

    def look(self) -> None:
        """Read again what the runs tell."""
        now = time.monotonic()
        passed, self._looked = now - self._looked, now
        for run in self.runs:
            if run.state in ("waiting", "running"):
                self._look_at(run, passed)
        self._see_what_is_made()
        self._processes = max(self._processes, len(self.running))

    def _look_at(self, run: Run, passed: float) -> None:
        share, made = run.share, run.made or 0.0
        _read(run)
        if run.made is not None and run.made > 0:
            self._unmade[run.job.shared.key] = 1 - run.made
            self._pace.saw((run.made - made) * run.job.shared.seconds, passed)
        elif share > 0 and run.state != "failed":
            self._pace.saw((run.share - share) * run.job.seconds, passed)

    def _see_what_is_made(self) -> None:
        for run in self.runs:
            if run.share > 0:
                self._unmade.pop(run.job.shared.key, None)

    def _left(self, run: Run) -> Left:
        return Left(run.job.seconds * (1 - run.share), run.job.shared.key)


def _read(run: Run) -> None:
    """A finished run has told so; only then are its results looked at, which takes reading them."""
    failure = failure_file(run.job.folder)
    if failure is not None and failure.exists():
        run.state, run.text, run.made = "failed", "failed", None
        return
    try:
        told = json.loads((run.job.folder / "progress.json").read_text())
        run.share = max(run.share, min(told["done"] / max(told["total"], 1e-9), 0.999))
        run.state, run.text, run.made = "running", str(told["text"]), told["made"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if run.text == "finished" and is_finished(run.job.config):
        run.state, run.share, run.made = "done", 1.0, None
