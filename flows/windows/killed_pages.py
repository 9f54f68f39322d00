"""Pages of runs and launches whose process was killed: they say that they are running, until ``python -m flows.sync`` ends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from flows.windows.tracked import begun_run, launches_memory, open_trackers
from pipelines.config import RunConfig
from pipelines.errors import RunLocked
from pipelines.run_folder import run_lock
from pipelines.schemas import RUN_JSON
from pipelines.tracking.guard import prepare, run_trackers, warn
from pipelines.tracking.protocol import TrackerSettings


def end_killed_pages(config: RunConfig) -> Iterator[tuple[Path, bool]]:
    """Of the runs below ``execution.runs``, and of the launches of several: what a page is of, and whether it is ended. A run says
    KILLED whatever ended its process before it was finished; launched again, it goes on in the same page. A tracker that fails two
    in a row is asked no further."""
    for settings in open_trackers(config):
        runs = [folder for folder in sorted(config.execution.runs.glob("*/seed*")) if _is_killed(folder, settings)]
        launches = settings.killed_launches(launches_memory(config))
        pages: list[tuple[Path, Callable[[Path, TrackerSettings], bool]]] = [
            *((folder, _end_run) for folder in runs),
            *((file, _end_launch) for file in launches),
        ]
        if not pages:
            continue
        failed = 2 * len(prepare([settings], f"{len(pages)} that were killed still show there as running"))
        for of, end in pages:
            failed = 0 if failed < 2 and end(of, settings) else failed + 1
            yield of, not failed


def _is_killed(folder: Path, settings: TrackerSettings) -> bool:
    return settings.owes(folder) and _is_left(folder) and settings.owes(folder)  # its process may have told meanwhile


def _is_left(folder: Path) -> bool:
    """Not finished, and no process is at it. The lock is given back at once: a run that is launched at this moment needs it."""
    if (folder / "results" / RUN_JSON).exists():
        return False
    try:
        with run_lock(folder):
            return True
    except RunLocked:
        return False
    except OSError as error:
        warn(f"{folder} cannot be locked, its page waits", error)
        return False


def _end_run(folder: Path, settings: TrackerSettings) -> bool:
    if not _is_killed(folder, settings):  # it was launched again meanwhile
        return True
    try:
        trackers = run_trackers([settings], begun_run(folder))
    except (OSError, ValueError) as error:
        warn(f"the page of {folder} waits for its next launch", error)
        return False
    trackers.each(lambda tracker: tracker.start())
    trackers.each(lambda tracker: tracker.end("KILLED"))
    told = not settings.owes(folder)
    # It was launched again at this moment: its own end, or the next command, sets it right.
    if told and not _is_left(folder):
        settings.owe(folder)
    return told


def _end_launch(file: Path, settings: TrackerSettings) -> bool:
    try:
        settings.end_killed_launch(file)
    except Exception as error:
        warn(f"{settings.place} failed, it still shows a launch that was killed as running", error)
        return False
    return True
