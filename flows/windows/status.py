"""The status of a launch: the state of each run, from the files that the runs write, and what is left of the whole."""

from __future__ import annotations

import heapq
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from flows.launch.context import current_launch
from flows.launch.jobs import Job, names
from pipelines.run_folder import is_finished

_PRIOR_S = 60.0  # of seconds as expected, which the measured ones outweigh little by little
_FOUND = 5.0  # times faster than expected: not made but found, which is no measure of the pace


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of one run: ``seconds`` of its own, after the warm start ``shared`` ("" for none) is made."""

    seconds: float
    shared: str = ""


@dataclass
class Pace:
    """Measured over expected seconds of the work that was seen being done."""

    _measured: float = field(default=_PRIOR_S)
    _expected: float = field(default=_PRIOR_S)

    @property
    def factor(self) -> float:
        return self._measured / self._expected

    def saw(self, expected: float, measured: float) -> None:
        """Work of ``expected`` seconds was done while ``measured`` passed."""
        if expected <= _FOUND * measured:
            self._expected += expected
            self._measured += measured


def seconds_left(
    running: Sequence[Left], waiting: Sequence[Left], making: Mapping[str, float], processes: int
) -> float:
    """Until the last run has ended, when ``waiting`` ones start in order as soon as one of ``processes`` is free.

    ``making``: what is left of each warm start that is not there yet. The first run that needs it makes it, and every
    other one waits.
    """
    ready = {run.shared: making.get(run.shared, 0.0) for run in running}
    ends = [ready[run.shared] + run.seconds for run in running]
    ends += [0.0] * (processes - len(ends))
    heapq.heapify(ends)
    for run in waiting:
        free = heapq.heappop(ends)
        begun = ready.setdefault(run.shared, free + making.get(run.shared, 0.0))
        heapq.heappush(ends, max(free, begun) + run.seconds)
    return max(ends, default=0.0)


@dataclass
class Run:
    """``share``: of its own work; ``made``: of the warm start, while it makes it."""

    job: Job
    name: str
    state: Literal["waiting", "running", "done", "failed"] = "waiting"
    share: float = 0.0
    made: float | None = None
    text: str = ""


class LaunchStatus:
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
        """Whether a run has written anything."""
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
        """Read again what the runs write."""
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
    """A finished run says so; only then are its results looked at, which takes reading them."""
    launch = current_launch()
    if launch is not None and launch.failure_file(run.job.folder).exists():
        run.state, run.text, run.made = "failed", "failed", None
        return
    try:
        state = json.loads((run.job.folder / "progress.json").read_text())
        run.share = max(run.share, min(state["done"] / max(state["total"], 1e-9), 0.999))
        run.state, run.text, run.made = "running", str(state["text"]), state["made"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if run.text == "finished" and is_finished(run.job.config):
        run.state, run.share, run.made = "done", 1.0, None
