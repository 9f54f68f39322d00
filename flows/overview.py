"""Progress with an estimate of what is left: a bar per run, and for a launch of many one for the whole."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from flows.job import MANY, failure_file
from pipelines.config import RunConfig
from pipelines.run_folder import is_finished, run_folder

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


@contextmanager
def overview(configs: Sequence[RunConfig]) -> Iterator[None]:
    """Show the launch as a whole and each running job, from the ``progress.json`` files that the jobs write."""
    os.environ[MANY] = "1"  # the jobs keep their own bars to themselves
    stop = threading.Event()
    for config in configs:
        (run_folder(config) / "progress.json").unlink(missing_ok=True)
    watcher = threading.Thread(target=_watch, args=(configs, stop), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
        os.environ.pop(MANY, None)


def _watch(configs: Sequence[RunConfig], stop: threading.Event) -> None:
    console, shown = Console(stderr=True), names(configs)
    started = last = time.monotonic()
    if not console.is_terminal:
        while not stop.wait(1.0):
            if time.monotonic() - last > _LINES_S:
                last = time.monotonic()
                states = [_state(config) for config in configs]
                share = sum(s for s, _ in states) / len(states)
                left = f", {(last - started) * (1 - share) / share:.0f} s left" if share > 0.02 else ""
                running = "; ".join(f"{n} {s:.0%} {t}" for n, (s, t) in zip(shown, states, strict=True) if 0 < s < 1)
                print(f"all: {share:4.0%} after {last - started:.0f} s{left}  {running}", file=sys.stderr, flush=True)
        return
    with _progress(console) as progress:
        whole = progress.add_task(f"all {len(configs)} runs", total=float(len(configs)), note="")
        bars = [progress.add_task(f"  {name}", total=1.0, note="", visible=False) for name in shown]
        while not stop.wait(0.5):
            states = [_state(config) for config in configs]
            progress.update(whole, completed=sum(share for share, _ in states))
            for bar, (share, text) in zip(bars, states, strict=True):
                progress.update(bar, completed=share, note=text, visible=0 < share < 1)


def _state(config: RunConfig) -> tuple[float, str]:
    if is_finished(config):
        return 1.0, "done"
    failure = failure_file(config)
    if failure is not None and failure.exists():
        return 1.0, "failed"
    try:
        told = json.loads((run_folder(config) / "progress.json").read_text())
    except (OSError, ValueError):
        return 0.0, "waiting"
    return min(max(told["done"] / max(told["total"], 1e-9), 1e-3), 0.999), str(told["text"])


def names(configs: Sequence[RunConfig]) -> list[str]:
    """What tells the runs of a launch apart, short enough to leave room for the bar; else the folders' names."""
    cells = [
        (e.benchmark.name, e.model.name, e.algorithm.name, e.empg.arm, f"seed{e.seed}")
        for e in (config.experiment for config in configs)
    ]
    differing = [i for i in range(5) if len({cell[i] for cell in cells}) > 1]
    short = [" ".join(cell[i] for i in differing) for cell in cells]
    if all(short) and len(set(short)) == len(configs):
        return short
    folders = [run_folder(config) for config in configs]
    return [f"{folder.parent.name}/{folder.name}" for folder in folders]
