"""Repeats side by side, and the rows they become.

A ratio is taken between neighbours in time, so a busy machine slows both; a row keeps the median ratio and its range.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

Row = dict[str, Any]
Pair = tuple[float, float]  # what the baseline cost, what ours cost


class Skipped(Exception):
    """The benchmark cannot run here; the text says what would help."""


def say(text: str) -> None:
    """Progress, for whoever waits."""
    print(f"  {text}", file=sys.stderr, flush=True)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def cpu_seconds(work: Callable[[], object]) -> float:
    """Of this process. For work of one thread that waits for nothing: wall time, less what other programs take."""
    start = time.process_time()
    work()
    return time.process_time() - start


def take_turns(baseline: Callable[[], float], ours: Callable[[], float], repeats: int, name: str) -> list[Pair]:
    """What both cost, ``repeats`` times; who goes first changes, so that a drift favours nobody."""
    pairs = []
    for repeat in range(repeats):
        if repeat % 2:
            mine = ours()
            pairs.append((baseline(), mine))
        else:
            other = baseline()
            pairs.append((other, ours()))
        say(f"{name}: {repeat + 1} of {repeats}")
    return pairs


def at_least(name: str, pairs: Sequence[Pair], target: float, unit: str, amount: float = 0.0, **facts: Any) -> Row:
    """``ratio``: how many times the baseline's cost is ours. With an ``amount`` of work, rates are shown, else costs."""
    ratios = [baseline / ours for baseline, ours in pairs]
    shown = [(amount / b, amount / o) for b, o in pairs] if amount else pairs
    return _row(name, shown, ratios, unit, median(ratios) >= target, bound="≥", target=target, **facts)


def at_most(name: str, pairs: Sequence[Pair], target: float, unit: str, **facts: Any) -> Row:
    """``ratio``: our cost as a multiple (or share) of the baseline's."""
    ratios = [ours / baseline for baseline, ours in pairs]
    return _row(name, pairs, ratios, unit, median(ratios) <= target, bound="≤", target=target, **facts)


def close_to(name: str, pairs: Sequence[Pair], tolerance: float, unit: str, **facts: Any) -> Row:
    """``ratio``: ours as a multiple of what was foretold, which is to be 1 within the tolerance."""
    ratios = [ours / foretold for foretold, ours in pairs]
    within = abs(median(ratios) - 1) <= tolerance
    return _row(name, pairs, ratios, unit, within, bound="1 ±", target=tolerance, **facts)


def _row(
    name: str, shown: Sequence[Pair], ratios: Sequence[float], unit: str, within: bool, *, bound: str, **facts: Any
) -> Row:
    """``met``: the target is reached, and what had to be the same was the same (``identical``)."""
    return {
        "name": name,
        "baseline": median(baseline for baseline, _ in shown),
        "ours": median(ours for _, ours in shown),
        "unit": unit,
        "ratio": median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "repeats": len(ratios),
        "bound": bound,
        "met": within and bool(facts.get("identical", True)),
        **facts,
    }
