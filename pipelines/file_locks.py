"""Waiting for another process' lock of a file, but not for one that does not go on."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import FileLock

_GLANCE_S = 0.5  # between two looks at who holds it
_STOPPED_S = 120.0  # a scheduler may stop a process for a while
_LOCKS = Path("/proc/locks")  # of Linux; elsewhere nobody is known to hold anything


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock of that file at this moment. Raises OSError: it cannot be opened."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def stopped_holder(lock: FileLock) -> int | None:
    """Wait for the lock, and have it. A process that holds it and stays stopped (Ctrl-Z) is not waited for: then its number, and the
    lock is not had."""
    from filelock import Timeout

    stopped: tuple[int, float] | None = None  # which, and since when it is seen so
    while not lock.is_locked:
        try:
            lock.acquire(timeout=_GLANCE_S)
        except Timeout:
            holder = _holder(Path(lock.lock_file))
            if holder is None or not is_stopped(holder):
                stopped = None
            elif stopped is None or stopped[0] != holder:
                stopped = holder, time.monotonic()
            elif time.monotonic() - stopped[1] >= _STOPPED_S:
                return holder
    return None


def _holder(path: Path) -> int | None:
    """The process that holds the lock of a file; None: nobody, or that is not known here."""
    try:
        found = path.stat()
        lines = _LOCKS.read_text("utf-8").splitlines()
    except OSError:
        return None
    # "1: FLOCK  ADVISORY  WRITE 4711 fe:00:2147460 0 EOF"; one that waits has "->" behind its number.
    fields = [line.split() for line in lines]
    held = [f for f in fields if len(f) > 5 and f[1] == "FLOCK" and f[5].rpartition(":")[2] == str(found.st_ino)]
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:"
    here = [f for f in held if f[5].startswith(device)] or held  # some file systems have another number there
    return int(here[0][4]) if len(here) == 1 and here[0][4].isdecimal() else None


def is_stopped(pid: int) -> bool:
    """Whether the process was stopped (Ctrl-Z), and has not gone on since."""
    import psutil

    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.Error:
        return False
