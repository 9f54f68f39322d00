"""``run.log`` in a run's folder: what happened to it, line by line, over all launches that went on with it. A log, never read."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from pipelines.passwords import without_passwords

FILE = "run.log"
_SHOWN = (
    "rollout/success", "rollout/reward", "entropy/step_mean", "update/loss", "update/kl", "evaluation/success",
    "evaluation/score",
)  # fmt: skip


class Lines(Protocol):
    """Where else the lines are shown."""

    def say(self, text: str) -> None: ...


class RunLog:
    """Lines with their time of day. A full disk costs lines, never the run."""

    def __init__(self, folder: Path, shown: Lines | None = None) -> None:
        self._file, self._shown = folder / FILE, shown

    def say(self, text: str) -> None:
        text = without_passwords(text)
        if self._shown is not None:
            self._shown.say(text)
        line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n"
        with suppress(OSError), self._file.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(line)

    def begins(self) -> None:
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
        self.say(f"process {os.getpid()} on {socket.gethostname()} begins, or goes on with what is there")

    def stage(self, name: str, iteration: int | None, seconds: float, outcome: str) -> None:
        self.say(
            f"{name.replace('_', ' ')}{'' if iteration is None else f' {iteration}'}: {outcome} after {seconds:.1f} s"
        )

    def metrics(self, iteration: int, values: Mapping[str, float]) -> None:
        shown = [f"{name} {values[name]:.4g}" for name in _SHOWN if name in values]
        if shown:
            self.say(f"after {iteration} updates: {', '.join(shown)}")
