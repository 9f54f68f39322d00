"""What a run says of itself while it is at work: ``progress.json`` in its folder. A log that nothing depends on."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.files import atomic_write_text, read_json

FINISHED = "finished"
WARM_START = "warm start"
_FILE = "progress.json"


@dataclass(frozen=True)
class RunState:
    """``text``: what it does. ``share``: of its own work. ``made``: the fraction of the warm start, while this run makes it.
    ``left``: seconds of what it does, ``run_seconds``: of the whole run at the pace of late; None where it is too early to say."""

    text: str = ""
    share: float = 0.0
    made: float | None = None
    left: float | None = None
    run_seconds: float | None = None

    @property
    def stage(self) -> str:
        """The text without its numbers."""
        return re.sub(r"[\d.]+", "", self.text)

    def write(self, folder: Path) -> None:
        with suppress(OSError):
            atomic_write_text(folder / _FILE, json.dumps(asdict(self)))


def read_state(folder: Path) -> RunState | None:
    """None: the run has said nothing yet, or what cannot be read."""
    try:
        return RunState(**read_json(folder / _FILE))
    except (OSError, ValueError, TypeError):
        return None


def has_begun(folder: Path) -> bool:
    """In this launch: what earlier ones wrote is removed when it starts."""
    return (folder / _FILE).exists()


def forget_state(folder: Path) -> None:
    (folder / _FILE).unlink(missing_ok=True)
