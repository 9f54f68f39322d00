"""The harness of ``make fuzz``: a call that crashes, takes too long or waits for ever is a fault, and the next one is made."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.faults import fuzz
from tests.faults.fuzz import Chunk


def _locked() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def _never_gives_up() -> None:
    """As a client that tries again whatever it meets."""
    for _ in range(2):
        with suppress(Exception):
            time.sleep(600)


def _catches_all() -> None:
    with suppress(BaseException):
        time.sleep(600)


@pytest.mark.parametrize(
    ("call", "told"),
    [(_locked, "Hung"), (_never_gives_up, "Hung"), (_catches_all, "it waited"), (lambda: 1 // 0, "ZeroDivisionError")],
)
def test_what_hangs_or_crashes_is_a_fault(call: Callable[[], None], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "_WAIT_S", 0.3)
    chunk = Chunk()
    chunk.try_one("call 0", call, (OSError,))
    assert chunk.try_one("call 1", lambda: 7) == 7
    (fault,) = chunk.faults
    assert fault.startswith(f"call 0: {told}")
    assert chunk.done == 2


def test_somebody_elses_alarm_goes_on() -> None:
    before = signal.getsignal(signal.SIGALRM), signal.setitimer(signal.ITIMER_REAL, 100)
    try:
        Chunk().try_one("call", lambda: None)
        assert signal.getsignal(signal.SIGALRM) is before[0]
        assert 50 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before[1])
