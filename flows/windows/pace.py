"""How long what is left will take, by the pace of the last units of work that were done, not found."""

from __future__ import annotations

import math
from collections import deque

LEAST = 0.02  # of the work: nothing is told before
RECENT_ITERATIONS = 3.0  # whose pace counts, of a run
RECENT_SHARE = 0.2  # of what has no iterations


class RecentPace:
    """``recent``: how many of the last units count. ``now``: when the work begins, of which ``worked`` was done before. What units
    are made with that are none themselves (advantages, uploads, pruning) is in their time; what was found is in nobody's."""

    def __init__(self, recent: float, now: float, worked: float = 0.0) -> None:
        self._recent, self._looked, self._clock = recent, now, 0.0
        self._first, self._found, self._since = worked, 0.0, 0.0
        self._seen = deque([(0.0, worked)])  # the clock's seconds, and the units done by then

    def saw(self, worked: float, now: float, found: float = 0.0) -> None:
        """``worked``: the units that were done and not found, ``found``: those that were, until ``now``, in seconds of any clock that
        never runs backwards."""
        self._since += now - self._looked
        self._looked = now
        if worked > self._seen[-1][1]:
            self._clock += self._since
            self._since = 0.0
            self._seen.append((self._clock, worked))
            while len(self._seen) > 2 and self._seen[1][1] <= worked - self._recent:
                self._seen.popleft()
        elif found > self._found:
            self._since = 0.0
        self._found = found

    def seconds_per_unit(self, total: float) -> float | None:
        """None: less than ``LEAST`` of the ``total`` was done."""
        (begun, before), (now, worked) = self._seen[0], self._seen[-1]
        if worked <= before or worked - self._first < LEAST * total:
            return None
        return (now - begun) / (worked - before)

    def left(self, done: float, total: float) -> float | None:
        """Seconds until all of the ``total`` is done; None: it is too early to say, or it is done."""
        pace = self.seconds_per_unit(total)
        return None if pace is None or done >= total else pace * (total - done)


def hours(seconds: float) -> str:
    """ "0:05 h", "11:20 h": whole minutes, at least one."""
    minutes = max(math.ceil(seconds / 60), 1)
    return f"{minutes // 60}:{minutes % 60:02} h"


def left_text(seconds: float | None) -> str:
    """ "0:05 h left, "; nothing where that is not known. It stands before what is being done."""
    return "" if seconds is None else f"{hours(seconds)} left, "
