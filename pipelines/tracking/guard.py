"""A tracker is a log: what fails in one costs its own record, never the run and never another tracker."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from pipelines.passwords import without_passwords
from pipelines.tracking.protocol import LaunchTracker, TrackedLaunch, TrackedRun, Tracker, TrackerSettings

Opened = TypeVar("Opened")


def warn(text: str, error: BaseException) -> None:
    """One line on standard error: the text and the first line of the error, without passwords."""
    reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    line = f"warning: {without_passwords(f'{text}: {reason}')}".encode("utf-8", "backslashreplace").decode()
    print(line, file=sys.stderr, flush=True)


def is_bad_value(error: Exception) -> bool:
    """Whether Python itself refused a value: it has the wrong type or size, or is no Unicode."""
    return isinstance(error, (TypeError, ValueError, OverflowError))


class Refusals:
    """What a tracker's library would not take: each name is lost alone and is warned of once. ``is_refusal``: of what is raised."""

    def __init__(self, title: str, is_refusal: Callable[[Exception], bool] = is_bad_value) -> None:
        self._title, self.is_refusal = title, is_refusal
        self._warned: set[str] = set()

    @contextmanager
    def lose_only(self, name: str) -> Iterator[None]:
        """A refusal inside the block is the loss of ``name``; what else is raised passes."""
        try:
            yield
        except Exception as error:
            if not self.is_refusal(error):
                raise
            if name not in self._warned:
                self._warned.add(name)
                warn(f"{self._title} does not take {name[:100]}, which is left out there", error)


class Fan(Generic[Opened]):
    """Several opened trackers, each on its own: one that raises is told of once and asked no further. ``what`` is logged."""

    def __init__(
        self, settings: Iterable[TrackerSettings], opens: Callable[[TrackerSettings], Opened | None], what: str
    ) -> None:
        self._what = what
        self._open: dict[str, Opened] = {}
        for each in settings:
            with self._guarded(each.place):
                if (opened := opens(each)) is not None:
                    self._open[each.place] = opened

    def each(self, log: Callable[[Opened], None]) -> None:
        for place, opened in list(self._open.items()):
            with self._guarded(place):
                log(opened)

    @contextmanager
    def _guarded(self, place: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._open.pop(place, None)
            warn(f"{place} failed, {self._what} is logged there no further", error)


def run_trackers(settings: Iterable[TrackerSettings], run: TrackedRun) -> Fan[Tracker]:
    return Fan(settings, lambda each: each.track_run(run), "this run")


def launch_trackers(settings: Iterable[TrackerSettings], launch: TrackedLaunch) -> Fan[LaunchTracker]:
    return Fan(settings, lambda each: each.track_launch(launch), "this launch")


def prepare(settings: Iterable[TrackerSettings], consequence: str) -> list[str]:
    """Let each tracker create what the runs of a launch share. Returns the keys of those that cannot be opened, where the runs
    shall log nothing: each is warned of here, with the ``consequence``."""
    closed = []
    for each in dict.fromkeys(settings):
        try:
            each.prepare()
        except Exception as error:
            closed.append(each.key)
            warn(f"{each.place} cannot be opened, {consequence}", error)
    return closed
