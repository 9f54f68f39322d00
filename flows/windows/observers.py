"""One observer per purpose, and the fan-out that the experiment loop is given."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from flows.launch.context import current_launch
from flows.launch.run_state import FINISHED, WARM_START, RunState
from flows.windows.pace import RECENT_ITERATIONS, RECENT_SHARE, RecentPace
from flows.windows.prefect_log import PrefectLog
from flows.windows.run_log import RunLog
from flows.windows.stages import PlainStages, PrefectStages, Stages, end_killed_flow_runs
from flows.windows.terminal import Bar
from flows.windows.tracked import open_trackers, owe_pages, tracked_run
from pipelines.config import RunConfig
from pipelines.files import write_json
from pipelines.run_info import RunInfo
from pipelines.tracking.guard import Fan, run_trackers
from pipelines.tracking.protocol import Status, Tracker

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.progress import Work

T = TypeVar("T")
_WRITE_S = 1.0  # at least between two progress files, but for the first and the last of something


class Part:
    """An observer of one purpose. Each method is what ``RunObserver`` passes on; here all do nothing."""

    def run_started(self, info: RunInfo) -> None: ...

    def stage_started(self, name: str, iteration: int | None) -> None: ...

    def metrics(self, iteration: int, values: Mapping[str, float]) -> None: ...

    def evaluation(self, iteration: int, table: pa.Table) -> None: ...

    def preparing(self, what: str, fraction: float, left: float | None) -> None:
        """``left``: seconds, None where it is too early to say."""

    def progress(self, work: Work, text: str, pace: RecentPace) -> None: ...

    def run_finished(self, results: Path, model: Path | None) -> None: ...

    def ended(self, status: Status) -> None: ...

    def close(self) -> None: ...


class RunObserver:
    """``pipelines.experiment.Observer`` of one run: calls its stages, and passes what happens on to its parts, in their order."""

    def __init__(self, config: RunConfig, folder: Path, *, in_flow: bool) -> None:
        self._folder = folder
        self._stages: Stages = PrefectStages() if in_flow else PlainStages()
        self._page = PrefectLog(self._stages) if isinstance(self._stages, PrefectStages) else None
        self._clock = Clock()
        launch = current_launch()
        shown = config.execution.progress and not (launch and launch.overview)
        self._parts = [ProgressBar(run_name(folder), shown=shown), ProgressFile(folder), Trackers(config, folder)]
        self._log = RunLog(folder, self._page)
        self._log.begins()
        self._iteration = 0
        self._pace: RecentPace | None = None  # until the run's own work begins
        self._preparing = RecentPace(RECENT_SHARE, time.monotonic())

    @property
    def in_flow(self) -> bool:
        return self._stages.in_prefect

    def run_started(self, info: RunInfo) -> None:
        if self.in_flow:
            end_killed_flow_runs(run_name(self._folder))
        for part in self._parts:
            part.run_started(info)

    def stage(self, name: str, iteration: int | None, work: Callable[[], T], *, retries: int = 0) -> T:
        self._preparing = RecentPace(RECENT_SHARE, time.monotonic())
        for part in self._parts:
            part.stage_started(name, iteration)
        return self._stages.call(name, iteration, self._clock.timed(self._logged(name, iteration, work)), retries)

    def _logged(self, name: str, iteration: int | None, work: Callable[[], T]) -> Callable[[], T]:
        """The same work, whose end stands in the run's log."""

        def logged() -> T:
            start, outcome = time.monotonic(), "failed"
            try:
                result = work()
                outcome = "done"
                return result
            finally:
                self._log.stage(name, iteration, time.monotonic() - start, outcome)

        return logged

    def metrics(self, iteration: int, values: Mapping[str, float]) -> None:
        self._iteration = max(self._iteration, iteration)
        self._log.metrics(iteration, values)
        for part in self._parts:
            part.metrics(iteration, values)

    def evaluation(self, iteration: int, table: pa.Table) -> None:
        for part in self._parts:
            part.evaluation(iteration, table)

    def preparing(self, what: str, fraction: float) -> None:
        self._preparing.saw(fraction, time.monotonic())
        for part in self._parts:
            part.preparing(what, fraction, self._preparing.left(fraction, 1.0))

    def progress(self, work: Work, text: str) -> None:
        now = time.monotonic()
        if self._pace is None:
            self._pace = RecentPace(RECENT_ITERATIONS, now)
        self._pace.saw(work.worked, now, work.found)
        for part in self._parts:
            part.progress(work, text, self._pace)

    def run_finished(self, results: Path, model: Path | None) -> None:
        for part in self._parts:
            part.run_finished(results, model)
        timing = self._clock.summary()
        with contextlib.suppress(OSError):  # a log
            write_json(self._folder / "timing.json", timing)
        self.metrics(self._iteration, {f"timing/{name}": value for name, value in timing.items()})
        self.ended("FINISHED")

    def ended(self, status: Status) -> None:
        self._log.say(status.lower())
        for part in self._parts:
            part.ended(status)

    def close(self) -> None:
        if self._page is not None:
            self._page.send()
        for part in self._parts:
            part.close()


class Trackers(Part):
    """The trackers that the configuration chooses."""

    def __init__(self, config: RunConfig, folder: Path) -> None:
        self._config, self._folder = config, folder
        self._settings = open_trackers(config)
        self._trackers: Fan[Tracker] = Fan((), lambda _: None, "")  # until the run has started

    def run_started(self, info: RunInfo) -> None:
        owe_pages(self._config, self._folder)
        self._trackers = run_trackers(self._settings, tracked_run(self._folder, info))
        self._trackers.each(lambda tracker: tracker.start())

    def metrics(self, iteration: int, values: Mapping[str, float]) -> None:
        self._trackers.each(lambda tracker: tracker.metrics(iteration, values))

    def evaluation(self, iteration: int, table: pa.Table) -> None:
        self._trackers.each(lambda tracker: tracker.evaluation(iteration, table))

    def run_finished(self, results: Path, model: Path | None) -> None:
        self._trackers.each(lambda tracker: tracker.upload(results, model))

    def ended(self, status: Status) -> None:
        self._trackers.each(lambda tracker: tracker.end(status))


class ProgressBar(Part):
    """What is prepared is shown as text: the bar counts iterations, and what is made once for many runs would spoil its
    estimate."""

    def __init__(self, name: str, *, shown: bool) -> None:
        self._bar = Bar(name, shown=shown)
        self._done, self._total = 0.0, 1.0

    def stage_started(self, name: str, iteration: int | None) -> None:
        if iteration is None:
            self._bar.update(self._done, self._total, _words(name))

    def preparing(self, what: str, fraction: float, left: float | None) -> None:
        self._bar.update(self._done, self._total, f"{what} {fraction:.0%}", left)

    def progress(self, work: Work, text: str, pace: RecentPace) -> None:
        self._done, self._total = work.done, work.total
        self._bar.update(work.done, work.total, text, pace.left(work.done, work.total))

    def run_finished(self, results: Path, model: Path | None) -> None:
        self._bar.finish()

    def close(self) -> None:
        self._bar.close()


class ProgressFile(Part):
    """``progress.json``, which the overview of a launch reads."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._state = folder, RunState()
        self._written = float("-inf")

    def stage_started(self, name: str, iteration: int | None) -> None:
        if iteration is None:  # may wait for another run that prepares the same
            self._tell(text=_words(name), made=None, left=None)

    def preparing(self, what: str, fraction: float, left: float | None) -> None:
        self._tell(text=f"{what} {fraction:.0%}", made=fraction if what == WARM_START else None, left=left)

    def progress(self, work: Work, text: str, pace: RecentPace) -> None:
        seconds = pace.seconds_per_unit(work.total)
        self._tell(
            text=text, share=work.done / work.total, made=None, left=pace.left(work.done, work.total),
            run_seconds=None if seconds is None else seconds * work.total,
        )  # fmt: skip

    def run_finished(self, results: Path, model: Path | None) -> None:
        self._tell(text=FINISHED, share=1.0, made=None, left=0.0)

    def _tell(self, **news: Any) -> None:
        """At once where another thing is being done, else once a second."""
        stage, self._state = self._state.stage, replace(self._state, **news)
        if stage != self._state.stage or time.monotonic() - self._written > _WRITE_S:
            self._written = time.monotonic()
            self._state.write(self._folder)


class Clock:
    """Seconds of the run from its first stage on, inside and outside of stages. Apart: what came before, which in the first run
    of a process is its start, the imports and the servers."""

    _runs = 0  # of this process

    def __init__(self) -> None:
        import psutil

        self._made = time.perf_counter()
        since_start = time.time() - psutil.Process().create_time()  # of a clock that may have been set back meanwhile
        self._before = max(since_start, 0.0) if Clock._runs == 0 else 0.0
        Clock._runs += 1
        self._begun: float | None = None
        self._stages = 0.0

    def timed(self, work: Callable[[], T]) -> Callable[[], T]:
        """The same work, a stage's, whose time is counted."""
        self._begun = self._begun or time.perf_counter()

        def counted() -> T:
            with self._counting():
                return work()

        return counted

    def summary(self) -> dict[str, float]:
        begun = self._begun or self._made
        run_s = time.perf_counter() - begun
        overhead_s = run_s - self._stages
        return {
            "run_s": run_s,
            "stages_s": self._stages,
            "overhead_s": overhead_s,
            "overhead_share": overhead_s / run_s,
            "startup_s": self._before + begun - self._made,
        }

    @contextmanager
    def _counting(self) -> Iterator[None]:
        entered = time.perf_counter()
        try:
            yield
        finally:
            self._stages += time.perf_counter() - entered


def _words(stage: str) -> str:
    return stage.replace("_", " ")


def run_name(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"
