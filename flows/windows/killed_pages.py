"""Pages of runs and launches whose process was killed: they say that they are running, until ``python -m flows.sync`` ends them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flows.windows.tracked import begun_run, launches_memory, open_trackers
from pipelines.config import RunConfig
from pipelines.errors import RunLocked
from pipelines.run_folder import run_lock
from pipelines.schemas import RUN_JSON
from pipelines.tracking.guard import prepare, run_trackers, warn
from pipelines.tracking.protocol import TrackedRun, TrackerSettings


def end_killed_pages(config: RunConfig) -> Iterator[tuple[Path, bool]]:
    """Of the runs below ``execution.runs``, and of the launches of several: each folder of a run, or that of all launches where one
    failed, and whether its page could be ended. A run says KILLED whatever ended its process before it was finished; launched
    again, it goes on in the same page."""
    for settings in open_trackers(config):
        killed = [folder for folder in sorted(config.execution.runs.glob("*/seed*")) if _is_killed(folder, settings)]
        memory = launches_memory(config)
        if not (killed or settings.has_killed_launches(memory)):
            continue
        failed = bool(prepare([settings], f"{len(killed)} runs that were killed still say that they are running"))
        for run in filter(None, map(_begun, killed)):
            failed = failed or not _ended(run, settings)
            yield run.folder, not failed
        try:
            if not failed:
                settings.end_killed_launches(memory)
        except Exception as error:
            warn(f"{settings.place} failed, it still shows launches that were killed as running", error)
            failed = True
        if failed:
            yield memory, False


def _is_killed(folder: Path, settings: TrackerSettings) -> bool:
    """Begun, not finished, and no process is at it. The lock is given back at once: a run that is launched at this moment needs it."""
    if not settings.owes(folder) or (folder / "results" / RUN_JSON).exists():
        return False
    try:
        with run_lock(folder):
            return settings.owes(folder)  # its own process may have told meanwhile
    except (RunLocked, OSError):
        return False


def _begun(folder: Path) -> TrackedRun | None:
    try:
        return begun_run(folder)
    except (OSError, ValueError) as error:
        warn(f"the page of {folder} waits for its next launch", error)
        return None


def _ended(run: TrackedRun, settings: TrackerSettings) -> bool:
    trackers = run_trackers([settings], run)
    trackers.each(lambda tracker: tracker.start())
    trackers.each(lambda tracker: tracker.end("KILLED"))
    return not settings.owes(run.folder)
