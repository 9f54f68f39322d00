"""All windows of a launch, opened around its work: Prefect's server and page, the trackers, the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from flows.launch.context import LaunchContext, handed_over
from flows.launch.execution import Failure
from flows.launch.jobs import Job
from flows.windows.owed_pages import complete_pages
from flows.windows.prefect_pages import Page, launch_page, launch_table
from flows.windows.prefect_server import prefect_server
from flows.windows.terminal import overview
from flows.windows.tracked import TrackedJobs, cell_tags, write_launch_tags
from pipelines.errors import ServerDead
from pipelines.tracking.guard import prepare


class Windows:
    """What a launch shows of its end."""

    def __init__(
        self, todo: Sequence[Job], jobs: Sequence[Job], page: Page | None, trackers: TrackedJobs | None
    ) -> None:
        self._todo, self._jobs, self._page, self._trackers = todo, jobs, page, trackers

    def show(self, failures: Sequence[Failure]) -> None:
        if self._page is not None:
            text = f"{len(failures)} of {len(self._jobs)} runs failed" if failures else "all runs are done"
            self._page.finish(text, failed=bool(failures), table=launch_table(self._jobs))
        if self._trackers is not None:
            self._trackers.end("FAILED" if failures else "FINISHED")
        _complete_pages(
            self._jobs, but=[job.folder for job in self._todo]
        )  # a tracker that failed these fails them again


@contextmanager
def windows(todo: Sequence[Job], jobs: Sequence[Job], folder: Path) -> Iterator[Windows]:
    """Open them, and hand the launch's context over to the processes that are started inside. ``todo``: what is launched, in this
    order, of all its ``jobs``; ``folder``: the launch's own."""
    chosen = [each for job in todo for each in job.config.execution.trackers.chosen()]
    closed = cache(lambda: tuple(prepare(chosen, "the launch goes on without it")))  # once, with or without a server
    with ExitStack() as stack:
        if any(job.config.execution.progress for job in todo):
            print("starting Prefect", file=sys.stderr, flush=True)
        try:
            prefect = stack.enter_context(prefect_server(meanwhile=closed))
        except ServerDead as error:
            print(f"warning: {error}; the launch goes on without Prefect's pages", file=sys.stderr, flush=True)
            prefect = None
        page = launch_page(jobs, prefect)
        if page is not None:
            stack.enter_context(page)
        context = LaunchContext(
            folder, Path.cwd(), os.getpid(), len(jobs) > 1, prefect, page.flow_run if page else None, closed()
        )
        stack.enter_context(handed_over(context))
        trackers = stack.enter_context(_tracked(jobs))
        if len(jobs) > 1:
            stack.enter_context(overview(todo, jobs))
        yield Windows(todo, jobs, page, trackers)


def show_finished(jobs: Sequence[Job]) -> None:
    """Nothing is left to do; but trackers may show the runs below another launch."""
    if len(jobs) > 1:
        trackers = TrackedJobs(jobs)
        trackers.start()
        trackers.end("FINISHED")
    _complete_pages(jobs)


def _complete_pages(jobs: Sequence[Job], but: Sequence[Path] = ()) -> None:
    """Also those of other launches' runs in the folder, ``but`` not of these."""
    for folder, whole in complete_pages(jobs[0].config, but):
        if whole:
            print(f"page completed: {folder}", flush=True)


@contextmanager
def _tracked(jobs: Sequence[Job]) -> Iterator[TrackedJobs | None]:
    """Trackers show several runs as one launch; a single run shows itself."""
    if len(jobs) == 1:
        if jobs[0].cells:
            write_launch_tags(jobs[0], cell_tags(jobs[0], jobs[0].cells[0]))
        yield None
        return
    trackers = TrackedJobs(jobs)
    trackers.start()
    try:
        yield trackers
    except BaseException:
        trackers.end("KILLED")
        raise
