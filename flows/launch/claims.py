"""Which launch has which runs: a second launch of a run that is still to come is told so at once, before anything starts.

A run's own lock (``run_folder.run_lock``) guards it while it is executed; a launch of many has runs that nobody executes
yet. Launches of different runs in one folder are welcome.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.errors import RunLocked
from pipelines.files import atomic_write_text
from pipelines.tracking.guard import without_passwords


@contextmanager
def claimed(runs: Sequence[Path], root: Path) -> Iterator[None]:
    """Hold ``runs`` for this launch, known to others by a file below ``root``. The lock beside it is the operating
    system's: it goes when its process dies, however it dies.

    Raises:
        RunLocked: a launch that is alive has some of them; the message says which one.
    """
    from filelock import FileLock

    folder = root / ".launches"
    folder.mkdir(parents=True, exist_ok=True)
    mine = folder / f"{os.getpid()}-{time.time_ns()}.json"
    lock = FileLock(mine.with_suffix(".lock"))
    with FileLock(folder / ".lock"):
        _refuse_if_taken(runs, folder)
        lock.acquire()
        atomic_write_text(mine, json.dumps(_claim(runs)))
    try:
        yield
    finally:
        _remove(mine)
        lock.release()


def _claim(runs: Sequence[Path]) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "since": time.strftime("%H:%M"),
        "command": without_passwords(shlex.join(sys.argv[1:])),
        "runs": [str(run) for run in runs],
    }


def _refuse_if_taken(runs: Sequence[Path], folder: Path) -> None:
    wanted = {str(run) for run in runs}
    for file in sorted(folder.glob("*.json")):
        if not _is_alive(file):
            _remove(file)
            continue
        other = _read(file)
        both = sorted(wanted.intersection(other["runs"]))
        if both:
            which = f"{both[0]} is" if len(wanted) == 1 else f"{len(both)} of these {len(wanted)} runs are"
            raise RunLocked(
                f"{which} part of a launch that is running here (process {other['pid']}, since {other['since']}: "
                f"{other['command'][:120]}): wait for it, or stop it and launch again"
            )


def _is_alive(file: Path) -> bool:
    from filelock import FileLock, Timeout

    try:
        with FileLock(file.with_suffix(".lock"), timeout=0):
            return False
    except Timeout:
        return True


def _read(file: Path) -> dict[str, Any]:
    try:
        claim: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):  # it has just ended
        return {"runs": []}
    return claim


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.with_suffix(".lock").unlink(missing_ok=True)
