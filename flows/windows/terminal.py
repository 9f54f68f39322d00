"""A launch on the terminal: how its runs go and how much is left of it, and at the end which failed, and why."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

from flows.launch.execution import Failure
from flows.launch.jobs import Job, names
from flows.launch.run_state import forget_state
from flows.windows.bars import bars, shortened
from flows.windows.pace import RECENT_SHARE, RecentPace, hours, left_text
from flows.windows.status import LaunchStatus


class Bar:
    """One run's bar; plain lines where standard error is no terminal."""

    def __init__(self, name: str, *, shown: bool) -> None:
        self._name, self._console = name, Console(stderr=True)
        self._live = shown and self._console.is_terminal
        self._lines = shown and not self._console.is_terminal
        self._started = time.monotonic()
        self._pace = RecentPace(RECENT_SHARE, self._started)
        self._last = self._started - _LINES_S  # the first line comes at once
        if self._live:
            self._progress = bars(self._console)
            self._task = self._progress.add_task(shortened(name, self._console), total=1.0, note="")
            self._progress.start()

    def update(self, done: float, total: float, text: str, left: float | None = None) -> None:
        """``left``: seconds, None where it is too early to say."""
        note = f"{left_text(left)}{text}"
        if self._live:
            self._progress.update(self._task, completed=done, total=total, note=note)
        elif self._lines and time.monotonic() - self._last > _LINES_S:
            self._last = time.monotonic()
            share = done / total if total else 1.0
            print(
                f"{self._name}: {share:4.0%} after {duration(self._last - self._started)}, {note}",
                file=sys.stderr,
                flush=True,
            )

    def share(self, done: float, text: str) -> None:
        """``done`` of 1; the bar sees itself how fast that grows."""
        self._pace.saw(done, time.monotonic())
        self.update(done, 1.0, text, self._pace.left(done, 1.0))

    def finish(self) -> None:
        """Show that the run is finished."""
        if self._live:
            self._progress.update(self._task, note="finished")
        elif self._lines:
            print(
                f"{self._name}: finished after {duration(time.monotonic() - self._started)}",
                file=sys.stderr,
                flush=True,
            )

    def close(self) -> None:
        if self._live:
            self._progress.stop()


_LINES_S = 30.0  # between plain lines where there is no terminal
_LOOK_S = 1.0  # between two looks at what the runs tell
_SHOWN = 4  # running ones in a plain line
_NAMED = 8  # finished runs, by their folders
_WIDTH = 10_000  # where there is no terminal: a reason stays one line, for whoever searches it


@contextmanager
def overview(todo: Sequence[Job], jobs: Sequence[Job]) -> Iterator[None]:
    """Show the launch as a whole and each running job. ``todo``: what is launched, in order, of all its ``jobs``."""
    stop = threading.Event()
    for job in todo:
        forget_state(job.folder)
    watcher = threading.Thread(target=_watch, args=(LaunchStatus(todo, jobs), stop), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def report(failures: Sequence[Failure], todo: Sequence[Job], jobs: Sequence[Job]) -> None:
    """How the runs of a launch ended. ``todo``: what was launched, of all its ``jobs``, whose names tell them apart."""
    failed = {failure.job.folder for failure in failures}
    finished = [job.folder for job in todo if job.folder not in failed]
    named = finished if len(finished) <= _NAMED else [f"{len(finished)} runs below {finished[0].parents[1]}"]
    for each in named:
        print(f"finished: {each}", flush=True)
    if failures and len(jobs) > 1:
        _show_failures(failures, jobs)


def _show_failures(failures: Sequence[Failure], jobs: Sequence[Job]) -> None:
    """A table on standard error. Runs that failed for the same reason, as those that share what could not be made, have it once."""
    called = dict(zip((job.folder for job in jobs), names(jobs), strict=True))
    table = Table()
    table.add_column("run", overflow="fold")
    table.add_column("why", overflow="fold")
    for reason in dict.fromkeys(failure.reason for failure in failures):
        same = [called[failure.job.folder] for failure in failures if failure.reason == reason]
        table.add_row("\n".join(same), reason)
    console = Console(stderr=True, highlight=False, markup=False, width=None if sys.stderr.isatty() else _WIDTH)
    console.print(f"\n{len(failures)} of {len(jobs)} runs failed:", style="bold")
    console.print(table)
    print("the same launch again runs these and what is missing, and nothing else", file=sys.stderr, flush=True)


def _watch(status: LaunchStatus, stop: threading.Event) -> None:
    console = Console(stderr=True)
    if console.is_terminal:
        _draw(status, stop, console)
    else:
        _write(status, stop)


def _write(status: LaunchStatus, stop: threading.Event) -> None:
    started = last = time.monotonic()
    while not stop.wait(_LOOK_S):
        status.look()
        if time.monotonic() - last > _LINES_S:
            last = time.monotonic()
            print(line(status, last - started), file=sys.stderr, flush=True)


def line(status: LaunchStatus, spent: float) -> str:
    """The launch in one line: the share of its work, its counts, what is left, and what is running."""
    runs = status.running
    shown = "; ".join(f"{run.name} {run.share:.0%} {left_text(run.told.left)}{run.text}" for run in runs[:_SHOWN])
    more = f"; and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
    return f"all: {status.share:4.0%} after {duration(spent)}, {_whole(status)}  {shown}{more}"


def _whole(status: LaunchStatus) -> str:
    """The time left first: what stands behind it may be cut."""
    counts: Counter[str] = Counter(run.state for run in status.runs)
    shown = ["done", *["failed"] * bool(counts["failed"]), "running", "waiting"]
    said = ", ".join(f"{counts[state]} {state}" for state in shown)
    left = status.seconds_left
    if left is not None:
        return f"{hours(left)} left, {said}"
    return said if status.has_begun else f"starting, {said}"


def duration(seconds: float) -> str:
    """ "40 s", "12 min", "1 h 05 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def _draw(status: LaunchStatus, stop: threading.Event, console: Console) -> None:
    with bars(console) as progress:
        whole = progress.add_task(f"all {len(status.runs)} runs", total=1.0, note="starting")
        tasks = {
            run.name: progress.add_task(shortened(run.name, console), total=1.0, note="", visible=False)
            for run in status.runs
        }
        begun: set[str] = set()
        while not stop.wait(_LOOK_S):
            status.look()
            progress.update(whole, completed=status.share, note=_whole(status))
            for run in status.running:
                if run.name not in begun:
                    begun.add(run.name)
                    progress.reset(tasks[run.name])  # its clock starts now
            for run in status.runs:
                shown = run.state == "running"
                note = f"{left_text(run.told.left)}{run.text}"
                progress.update(tasks[run.name], completed=run.share, note=note, visible=shown)
