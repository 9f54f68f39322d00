"""Calls that may never return, with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
_PROMPT_S = 1.0  # an answer that comes later is late
_LATE_S, _LATE_SHARE = 20.0, 0.05  # that late answers may take of somebody's time


class Deadline:
    """Makes calls in threads, one at a time. A call that does not return in time is left to itself; the next is made only when it has
    returned, for which it waits no longer. Who answers each call late is asked no more until the time that this took is 20 s and 5 % of
    what has passed."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last: threading.Thread | None = None
        self._began, self._late_s = time.monotonic(), 0.0

    def call(self, work: Callable[[], T], more_s: float = 0.0) -> T:
        """What ``work`` returns. ``more_s``: what this call may take beyond the deadline.

        Raises:
            TimeoutError: it did not return in time, an earlier call has not, or earlier ones were late. Whatever ``work`` raises.
        """
        passed = time.monotonic() - self._began
        if self._late_s > _LATE_S + _LATE_SHARE * passed:
            raise TimeoutError(f"it is slow, late answers took {self._late_s:.0f} of {passed:.0f} s")
        asked = time.monotonic()
        try:
            return self._call(work, more_s)
        finally:
            self._late_s += max(0.0, time.monotonic() - asked - _PROMPT_S - more_s)

    def _call(self, work: Callable[[], T], more_s: float) -> T:
        if self._last is not None:
            self._last.join(self._seconds)
            if self._last.is_alive():
                raise TimeoutError("it still has not answered")
        results: list[T] = []
        errors: list[BaseException] = []

        def answer() -> None:
            try:
                results.append(work())
            except BaseException as error:
                errors.append(error)

        self._last = threading.Thread(target=answer, name="with a deadline", daemon=True)
        self._last.start()
        self._last.join(self._seconds + more_s)
        if errors:
            raise errors[0]
        if not results:
            raise TimeoutError(f"it did not answer within {self._seconds + more_s:.0f} s")
        return results[0]


class Bounded:
    """An object each of whose methods has the deadline. ``more_s``: by the method's name and arguments, what it may take beyond."""

    def __init__(self, wrapped: Any, deadline: Deadline, more_s: Callable[..., float]) -> None:
        self._wrapped, self._deadline, self._more_s = wrapped, deadline, more_s

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._wrapped, name)

        def bounded(*arguments: Any, **named: Any) -> Any:
            return self._deadline.call(lambda: method(*arguments, **named), self._more_s(name, *arguments))

        return bounded
