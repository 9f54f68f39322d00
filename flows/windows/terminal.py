"""A launch of many as it goes: runs done, running, failed and waiting, and how much is left."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from flows.job import MANY
from flows.launch.jobs import Job
from flows.windows.status import Standing

_LINES_S = 30.0  # between plain lines where there is no terminal
_LOOK_S = 1.0  # between two looks at what the runs tell
_SAID = 4  # running ones in a plain line


@contextmanager
def overview(todo: Sequence[Job], jobs: Sequence[Job]) -> Iterator[None]:
    """Show the launch as a whole and each running job. ``todo``: what is launched, in order, of all its ``jobs``."""
    os.environ[MANY] = "1"  # the jobs keep their own bars to themselves
    stop = threading.Event()
    for job in todo:
        (job.folder / "progress.json").unlink(missing_ok=True)
    watcher = threading.Thread(target=_watch, args=(Standing(todo, jobs), stop), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
        os.environ.pop(MANY, None)


def _watch(standing: Standing, stop: threading.Event) -> None:
    console = Console(stderr=True)
    if console.is_terminal:
        _draw(standing, stop, console)
    else:
        _write(standing, stop)


def _write(standing: Standing, stop: threading.Event) -> None:
    started = last = time.monotonic()
    while not stop.wait(_LOOK_S):
        standing.look()
        if time.monotonic() - last > _LINES_S:
            last = time.monotonic()
            print(line(standing, last - started), file=sys.stderr, flush=True)


def line(standing: Standing, spent: float) -> str:
    """The launch in one line: the share of its work, its counts, what is left, and what is running."""
    runs = standing.running
    said = "; ".join(f"{run.name} {run.share:.0%} {run.text}" for run in runs[:_SAID])
    more = f"; and {len(runs) - _SAID} more" if len(runs) > _SAID else ""
    return f"all: {standing.share:4.0%} after {duration(spent)}, {_counts(standing)}, {_left(standing)}  {said}{more}"


def _counts(standing: Standing) -> str:
    counts: Counter[str] = Counter(run.state for run in standing.runs)
    shown = ["done", "running", "waiting"] + ["failed"] * bool(counts["failed"])
    return ", ".join(f"{counts[state]} {state}" for state in shown)


def _left(standing: Standing) -> str:
    return f"about {duration(standing.seconds_left)} left" if standing.has_begun else "starting"


def duration(seconds: float) -> str:
    """ "40 s", "12 min", "1 h 05 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def _draw(standing: Standing, stop: threading.Event, console: Console) -> None:
    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        whole = progress.add_task(f"all {len(standing.runs)} runs", total=1.0, note="")
        bars = {
            run.name: progress.add_task(f"  {run.name}", total=1.0, note="", visible=False) for run in standing.runs
        }
        begun: set[str] = set()
        while not stop.wait(_LOOK_S):
            standing.look()
            progress.update(whole, completed=standing.share, note=f"{_counts(standing)}, {_left(standing)}")
            for run in standing.running:
                if run.name not in begun:
                    begun.add(run.name)
                    progress.reset(bars[run.name])  # its clock starts now
            for run in standing.runs:
                shown = run.state == "running"
                progress.update(bars[run.name], completed=run.share, note=run.text, visible=shown)
