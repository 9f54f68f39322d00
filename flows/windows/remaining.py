"""How much is left of a launch, from what its runs are expected to cost and how fast they really went."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_PRIOR_S = 60.0  # of seconds as expected, which the measured ones outweigh little by little
_FOUND = 5.0  # times faster than expected: not made but found, it says nothing of the pace


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of one run: ``seconds`` of its own, after the warm start ``shared`` ("" for none) is made."""

    seconds: float
    shared: str = ""


@dataclass
class Pace:
    """Measured over expected seconds of the work that was seen being done."""

    _measured: float = field(default=_PRIOR_S)
    _expected: float = field(default=_PRIOR_S)

    @property
    def factor(self) -> float:
        return self._measured / self._expected

    def saw(self, expected: float, measured: float) -> None:
        """Work of ``expected`` seconds was done while ``measured`` passed."""
        if expected <= _FOUND * measured:
            self._expected += expected
            self._measured += measured


def seconds_left(
    running: Sequence[Left], waiting: Sequence[Left], making: Mapping[str, float], processes: int
) -> float:
    """Until the last run has ended, when ``waiting`` ones start in order as soon as one of ``processes`` is free.

    ``making``: what is left of each warm start that is not there yet. The first run that needs it makes it, and every
    other one waits.
    """
    ready = {run.shared: making.get(run.shared, 0.0) for run in running}
    ends = [ready[run.shared] + run.seconds for run in running]
    ends += [0.0] * (processes - len(ends))
    heapq.heapify(ends)
    for run in waiting:
        free = heapq.heappop(ends)
        begun = ready.setdefault(run.shared, free + making.get(run.shared, 0.0))
        heapq.heappush(ends, max(free, begun) + run.seconds)
    return max(ends, default=0.0)
