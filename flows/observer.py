"""What the experiment loop tells goes to Prefect (stages), MLflow (numbers) and the screen (progress)."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from flows.bar import Bar
from flows.job import MANY
from flows.tracking import Tracker
from flows.windows.prefect_server import mark_crashed
from pipelines.artifacts import atomic_write_text, write_json
from pipelines.config import RunConfig
from pipelines.errors import PlatformError

T = TypeVar("T")
_TELL_S = 1.0


class RunObserver:
    """``pipelines.experiment.Observer``. Stages are Prefect tasks while ``in_flow``; progress also goes to
    ``progress.json`` (which the overview of a multirun reads), timings to ``timing.json``."""

    def __init__(self, config: RunConfig, folder: Path, *, in_flow: bool) -> None:
        self.in_flow = in_flow
        self._folder = folder
        self._tracker = Tracker(config.execution.tracking_uri, folder)
        self._bar = Bar(run_name(folder), shown=config.execution.progress and not os.environ.get(MANY))
        self._clock = _Clock()
        self._told, self._done, self._total = 0.0, 0.0, 1.0
        self._iteration = 0
        self._stage_began = time.monotonic()

    def run_started(self, info: Mapping[str, Any]) -> None:
        """Called while the run's lock is held: whatever else Prefect shows running under this name was killed."""
        if self.in_flow:
            from prefect.runtime import flow_run

            mark_crashed(os.environ.get("PREFECT_API_URL", ""), run_name(self._folder), but=str(flow_run.id))
        self._tracker.start(info)

    def stage(self, name: str, iteration: int | None, work: Callable[[], T], *, retries: int = 0) -> T:
        """A Prefect task. Retried are failures of the machine (OSError), never the user's or the mathematics'."""
        self._clock.begin()
        if iteration is None:  # may wait for another run that prepares the same
            self._stage_began = time.monotonic()
            self._tell(self._done, self._total, name.replace("_", " "))
        results: list[T] = []

        def timed() -> None:
            with self._clock.stage():
                results.append(work())

        if self.in_flow:
            self._as_task(name, iteration, timed, retries)
        if not results:
            _retried(timed, retries)
        return results[0]

    def metrics(self, iteration: int, values: Mapping[str, float]) -> None:
        self._iteration = max(self._iteration, iteration)
        self._tracker.metrics(iteration, values)

    def evaluation(self, iteration: int, table: Any) -> None:
        self._tracker.evaluation(iteration, table)

    def preparing(self, what: str, fraction: float) -> None:
        """Told in words with its own estimate: the bar counts iterations, and what is prepared once for many runs would
        spoil its estimate."""
        left = (time.monotonic() - self._stage_began) * (1.0 - fraction) / max(fraction, 1e-9)
        text = f"{what} {fraction:.0%}, {left:.0f} s left"
        self._bar.update(self._done, self._total, text)
        if time.monotonic() - self._told > _TELL_S:
            self._tell(self._done, self._total, text, made=fraction if what == "warm start" else None)

    def progress(self, done: float, total: float, text: str) -> None:
        self._bar.update(done, total, text)
        if time.monotonic() - self._told > _TELL_S:
            self._tell(done, total, text)

    def run_finished(self, results: Path, model: Path | None) -> None:
        self._bar.finish()
        self._tell(self._total, self._total, "finished")
        self._tracker.upload(results, model)
        timing = self._clock.summary()
        with contextlib.suppress(OSError):  # a log
            write_json(self._folder / "timing.json", timing)
        self._tracker.metrics(self._iteration, {f"timing/{name}": value for name, value in timing.items()})
        self._tracker.end("FINISHED")

    def ended(self, status: str) -> None:
        """The run ends without being finished: "FAILED" or "KILLED"."""
        self._tracker.end(status)

    def close(self) -> None:
        self._bar.close()

    # ---------------------------------------------------------------------------------------------------------------

    def _as_task(self, name: str, iteration: int | None, timed: Callable[[], None], retries: int) -> None:
        from prefect import task
        from prefect.cache_policies import NO_CACHE

        label = name if iteration is None else f"{name} {iteration}"
        run_task = task(
            name=name, task_run_name=label, retries=retries, cache_policy=NO_CACHE, persist_result=False,
            retry_condition_fn=_prefect_worth_retrying,
        )(timed)  # fmt: skip
        try:
            run_task()
        except Exception as error:
            if not is_prefects(error):
                raise
            warn_without_prefect(error)
            self.in_flow = False

    def _tell(self, done: float, total: float, text: str, made: float | None = None) -> None:
        """``made``: the fraction of the warm start, while this run makes it."""
        self._told, self._done, self._total = time.monotonic(), done, total
        told = {"done": done, "total": total, "text": text, "made": made}
        with contextlib.suppress(OSError):  # a log
            atomic_write_text(self._folder / "progress.json", json.dumps(told))


class _Clock:
    """Seconds of the run from its first stage on, inside and outside of stages. Apart: what came before, which in the
    first run of a process is its start, the imports and the servers."""

    _runs = 0  # of this process

    def __init__(self) -> None:
        import psutil

        self._made = time.perf_counter()
        self._before = time.time() - psutil.Process().create_time() if _Clock._runs == 0 else 0.0
        _Clock._runs += 1
        self._begun: float | None = None
        self._stages = 0.0

    def begin(self) -> None:
        if self._begun is None:
            self._begun = time.perf_counter()

    def stage(self) -> _Clock:
        return self

    def __enter__(self) -> None:
        self._entered = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._stages += time.perf_counter() - self._entered

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


def warn_without_prefect(error: BaseException) -> None:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    print(f"warning: Prefect's server does not answer, the run goes on without its page ({text})", file=sys.stderr)


def is_prefects(error: BaseException) -> bool:
    """Raised by Prefect or its HTTP client, not by a stage."""
    return type(error).__module__.split(".")[0] in ("prefect", "httpx", "httpcore", "websockets")


def run_name(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def _retried(work: Callable[[], None], retries: int) -> None:
    while True:
        try:
            return work()
        except Exception as error:
            if retries == 0 or not _worth_retrying(error):
                raise
            retries -= 1


def _prefect_worth_retrying(_task: Any, _run: Any, state: Any) -> bool:
    return _worth_retrying(getattr(state.data, "exception", state.data))


def _worth_retrying(error: object) -> bool:
    return isinstance(error, OSError) and not isinstance(error, PlatformError)
