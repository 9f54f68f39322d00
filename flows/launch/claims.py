"""Which launch has which runs: a second launch of a run that is still to come is refused at once, before anything starts.

A run's own lock (``run_folder.run_lock``) guards it while it is executed; a launch of several has runs that nobody executes yet.
Launches of different runs in one folder are welcome.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import RunLocked
from pipelines.file_locks import is_held
from pipelines.files import atomic_write_text, read_json
from pipelines.passwords import without_passwords

_CLAIM = "claim.json"
_PATIENCE_S = 30.0


@contextmanager
def claimed(runs: Sequence[Path], root: Path) -> Iterator[Path]:
    """Hold ``runs`` for this launch. Yields the launch's own folder, which other launches know it by and which is removed at the
    end; all machines of a launch see it, as they see ``root``. Its lock is the operating system's: it goes when its process dies,
    however it dies, and the next launch removes the folder.

    Raises:
        RunLocked: a launch that is alive has some of them; the message names it.
    """
    from filelock import FileLock

    launches = root.absolute() / ".launches"
    launches.mkdir(parents=True, exist_ok=True)
    folder = launches / f"{os.getpid()}-{time.time_ns()}"
    lock = FileLock(folder / ".lock")
    with _alone(launches / ".lock"):
        _refuse_if_taken(runs, launches)
        folder.mkdir()
        lock.acquire()
        claim = {
            "process": os.getpid(),
            "since": time.strftime("%H:%M"),
            "command": without_passwords(shlex.join(sys.argv[1:])),
            "runs": [str(run.resolve()) for run in runs],
        }
        atomic_write_text(folder / _CLAIM, json.dumps(claim))
    try:
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Each launch has it for a moment; one that keeps it was stopped (Ctrl-Z)."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=_PATIENCE_S)
    except Timeout:
        raise RunLocked(f"another launch holds {path} and does not go on: end it, then launch again") from None
    try:
        yield
    finally:
        lock.release()


def _refuse_if_taken(runs: Sequence[Path], launches: Path) -> None:
    wanted = {str(run.resolve()): run for run in runs}  # one folder has many spellings
    for folder in sorted(path for path in launches.iterdir() if path.is_dir()):
        if not is_held(folder / ".lock"):
            shutil.rmtree(folder, ignore_errors=True)
            continue
        try:
            other = read_json(folder / _CLAIM)
        except (OSError, ValueError):  # it has just ended
            continue
        both = sorted(wanted.keys() & set(other["runs"]))
        if both:
            which = f"{wanted[both[0]]} is" if len(wanted) == 1 else f"{len(both)} of these {len(wanted)} runs are"
            raise RunLocked(
                f"{which} part of a launch that is running here (process {other['process']}, since {other['since']}: "
                f"{other['command'][:120]}): wait for it, or stop it and launch again"
            )
