"""A server that hangs holds up whoever asks it, each request for as long as the client is patient. So it is ended, and what asks
next fails at once and goes on without it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_LOOK_S = 3.0  # between two looks
TIMES = 2  # that it may leave unanswered in a row: with the look 15 s, which with MLflow's deadlines are below 30


@contextmanager
def watched(pid: int, answers: Callable[[], bool]) -> Iterator[None]:
    """While the block runs, a process that does not answer is killed with what it started. ``answers``: asks it, with a deadline."""
    left = threading.Event()

    def watch() -> None:
        while not left.wait(_LOOK_S):
            if not any(answers() for _ in range(TIMES)):
                _end(pid, told=not left.is_set())
                return

    threading.Thread(target=watch, name="watches Prefect's server", daemon=True).start()
    try:
        yield
    finally:
        left.set()


def _end(pid: int, *, told: bool) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it is dead, or its number is another's
        os.killpg(pid, signal.SIGKILL)
        if told:
            print(
                "warning: Prefect's server does not answer and was ended, the work goes on without its pages",
                file=sys.stderr,
                flush=True,
            )
