"""Whoever reads or writes what all launches of a folder share: ``results``, ``archive`` and ``reports``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def study_lock() -> Iterator[None]:
    """Hold them; waits for whoever has them. The lock is the operating system's: it goes when its process dies."""
    from filelock import FileLock, Timeout

    results = Path("results")
    results.mkdir(exist_ok=True)
    lock = FileLock(results / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("another launch is making its tables in this folder: waiting for it", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
