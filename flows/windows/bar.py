"""One run's progress with an estimate of what is left; plain lines where standard error is no terminal."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINES_S = 30.0  # between plain lines where there is no terminal


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("left"),
        TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=console,
    )  # fmt: skip


class Bar:
    """One run's bar; plain lines where standard error is no terminal."""

    def __init__(self, name: str, *, shown: bool) -> None:
        self._name, self._console = name, Console(stderr=True)
        self._live = shown and self._console.is_terminal
        self._lines = shown and not self._console.is_terminal
        self._started = time.monotonic()
        self._last = self._started - _LINES_S  # the first word comes at once
        if self._live:
            self._progress = _progress(self._console)
            self._task = self._progress.add_task(name, total=1.0, note="")
            self._progress.start()

    def update(self, done: float, total: float, text: str) -> None:
        if self._live:
            self._progress.update(self._task, completed=done, total=total, note=text)
        elif self._lines and time.monotonic() - self._last > _LINES_S:
            self._last = time.monotonic()
            share = done / total if total else 1.0
            spent = self._last - self._started
            left = f", {spent * (1 - share) / share:.0f} s left" if share > 0.02 else ""
            print(f"{self._name}: {share:4.0%} after {spent:.0f} s{left}  {text}", file=sys.stderr, flush=True)

    def finish(self) -> None:
        """The run's last word."""
        if self._live:
            self._progress.update(self._task, note="finished")
        elif self._lines:
            print(f"{self._name}: finished after {time.monotonic() - self._started:.0f} s", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._live:
            self._progress.stop()
