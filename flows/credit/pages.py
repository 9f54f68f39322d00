"""Where an oracle is watched: the progress bar, Prefect's page with a task for each part, and the run's own record in the trackers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from flows.configure.compose import compose
from flows.windows.prefect_pages import Page
from flows.windows.prefect_server import prefect_server
from flows.windows.stages import PlainStages, PrefectStages, Stages
from flows.windows.terminal import Bar
from flows.windows.tracked import open_trackers, tracked_run
from pipelines.errors import ServerDead
from pipelines.run_info import RunInfo
from pipelines.tracking.guard import run_trackers

T = TypeVar("T")


class Watched:
    """``pipelines.credit.oracle.Observer``."""

    def __init__(self, bar: Bar, stages: Stages) -> None:
        self._bar, self._stages = bar, stages

    def part(self, iteration: int, work: Callable[[], T]) -> T:
        return self._stages.call("continuations", iteration, work, 0)

    def progress(self, done: float, text: str) -> None:
        self._bar.share(done, text)


@contextmanager
def watched(bar: Bar, title: str, shown: bool) -> Iterator[Watched]:
    """``title``: of the page; ``shown``: there is one. Without Prefect the work goes on, with one warning."""
    with ExitStack() as stack:
        stages: Stages = PlainStages()
        if shown:
            try:
                stack.enter_context(prefect_server())
                if stack.enter_context(Page("oracle", title)).is_open:
                    stages = PrefectStages()
            except ServerDead as error:
                print(f"warning: {error}; the oracle goes on without Prefect's page", file=sys.stderr, flush=True)
        yield Watched(bar, stages)


def log_oracle(run: Path, info: RunInfo, measured: Mapping[int, Mapping[str, float]]) -> None:
    """To the trackers that a launch here has, beside what the run itself has logged. ``measured``: values by iteration, which trackers
    count from 1."""
    trackers = run_trackers(open_trackers(compose([])), tracked_run(run, info))
    trackers.each(lambda tracker: tracker.start())
    for iteration, values in measured.items():
        trackers.each(lambda tracker, i=iteration + 1, of=values: tracker.metrics(i, of))  # type: ignore[misc]
    trackers.each(lambda tracker: tracker.end("FINISHED"))
