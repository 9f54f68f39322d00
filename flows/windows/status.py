"""The status of a launch: the state of each run, from the files that the runs write, and what is left of the whole."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from flows.launch.context import current_launch
from flows.launch.jobs import Job, names
from flows.launch.run_state import FINISHED, WARM_START, RunState, read_state
from flows.windows.pace import LEAST
from pipelines.run_folder import is_finished

_ALMOST = 0.999  # of its work: whether a run is finished is for its results to say


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of one run: ``seconds`` of its own, after the warm start ``shared`` ("" for none) is made."""

    seconds: float
    shared: str = ""


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
    """``told``: what it said last; ``share``: of its own work."""

    job: Job
    name: str
    state: Literal["waiting", "running", "done", "failed"] = "waiting"
    share: float = 0.0
    told: RunState = field(default_factory=RunState)
    text: str = ""

    def look(self) -> None:
        """A finished run says so; only then are its results looked at, which takes reading them."""
        launch = current_launch()
        if launch is not None and launch.failure_file(self.job.folder).exists():
            self.state, self.text, self.told = "failed", "failed", RunState()
        elif (told := read_state(self.job.folder)) is not None:
            self.told, self.text, self.state = told, told.text, "running"
            self.share = max(self.share, min(told.share, _ALMOST))
            if told.text == FINISHED and is_finished(self.job.config):
                self.state, self.share = "done", 1.0


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
        self._makers: dict[str, Run] = {}
        self._factor: float | None = None  # measured over expected seconds
        self._by_runs = False
        self._processes = 1
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
    def seconds_left(self) -> float | None:
        """By what the runs measured of late; None: it is too early to say, or all is done."""
        if self._factor is None or not LEAST <= self.share < 1:
            return None
        running = [self._left(run) for run in self.running]
        waiting = [self._left(run) for run in self.runs if run.state == "waiting"]
        making = {key: self._making(key) for key in self._unmade}
        return seconds_left(running, waiting, making, self._processes)

    def look(self) -> None:
        """Read again what the runs write."""
        for run in self.runs:
            if run.state in ("waiting", "running"):
                run.look()
        self._see_what_is_made()
        self._processes = max(self._processes, len(self.running))
        self._makers = {run.job.shared.key: run for run in self.running if run.told.made is not None}
        for run in self.running:
            self._say_what_it_waits_for(run)
        self._measure()

    def _see_what_is_made(self) -> None:
        for run in self.runs:
            if run.share > 0:
                self._unmade.pop(run.job.shared.key, None)
            elif run.told.made and run.job.shared.key in self._unmade:
                self._unmade[run.job.shared.key] = 1 - run.told.made

    def _say_what_it_waits_for(self, run: Run) -> None:
        maker = self._makers.get(run.job.shared.key)
        if run.text == WARM_START and maker not in (None, run):
            run.text = f"waiting for {maker.name}'s warm start"

    def _measure(self) -> None:
        """How much longer things take here than expected, by the runs that are at work; before, by the warm starts."""
        measured = [(run.told.run_seconds, run.job.seconds) for run in self.running if run.told.run_seconds is not None]
        self._by_runs = self._by_runs or bool(measured)
        if not self._by_runs:
            measured = [
                (run.told.left, self._cost[key] * self._unmade[key])
                for key, run in self._makers.items()
                if key in self._unmade and run.told.left is not None
            ]
        if measured:
            self._factor = sum(pair[0] for pair in measured) / max(sum(pair[1] for pair in measured), 1e-9)

    def _left(self, run: Run) -> Left:
        seconds = run.told.run_seconds
        if seconds is None:
            seconds = run.job.seconds * (self._factor or 1.0)
        return Left(seconds * (1 - run.share), run.job.shared.key)

    def _making(self, key: str) -> float:
        """Seconds until a warm start is made; by its maker, where that is far enough to know."""
        maker = self._makers.get(key)
        if maker is not None and maker.told.left is not None:
            return maker.told.left
        return self._cost[key] * self._unmade[key] * (self._factor or 1.0)
