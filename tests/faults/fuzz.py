"""Many small calls in worker processes: which crashed, hung or grew."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil

from pipelines.workers import ordered_map, usable_cores
from tests.faults.found import Found, Tick

_HANG_S = 1.0  # of CPU time: under load a call may wait
_WAIT_S = 60.0  # of the clock: who sleeps or waits for a lock uses no CPU
_GROWN_MB = 100
_SHOWN = 5  # faults of a chunk


@dataclass
class Chunk:
    """What a worker did in one call: ``faults``, and its memory afterwards."""

    done: int = 0
    faults: list[str] = field(default_factory=list)
    pid: int = field(default_factory=os.getpid)
    rss_mb: float = 0.0

    def try_one(self, label: str, call: Callable[[], Any], allowed: tuple[type[BaseException], ...] = ()) -> Any:
        """What ``call`` returns; None where it raised. Anything raised that is not ``allowed`` is a fault."""
        began, clock, value, fault = time.process_time(), time.monotonic(), None, ""
        try:
            with _at_most(_WAIT_S):
                value = call()
        except allowed:
            pass
        except BaseException as error:
            fault = f"{type(error).__name__}: {error}"
        if (took := time.process_time() - began) > _HANG_S:
            fault = f"{fault} it took {took:.1f} s".strip()
        if not fault and (waited := time.monotonic() - clock) > _WAIT_S:  # it caught whatever it was told
            fault = f"it waited {waited:.1f} s"
        self.done += 1
        if fault and len(self.faults) < _SHOWN:
            self.faults.append(f"{label[:300]}: {fault[:300]}")
        return value

    def closed(self) -> Chunk:
        self.rss_mb = psutil.Process().memory_info().rss / 2**20
        return self


class Hung(BaseException):
    """No ``Exception``, and no ``TimeoutError``, which is an OSError: who reads a file may catch those, and wait again."""


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raises Hung in the main thread, where this must be, if the block takes longer, and again as long as it goes on. What hangs in
    native code hears of it when it returns."""

    def ring(*_: object) -> None:
        raise Hung(f"it hung for {seconds:g} s")

    began, before = time.monotonic(), signal.signal(signal.SIGALRM, ring)
    others, _ = signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if others:  # somebody else's alarm, as that of a test
            signal.setitimer(signal.ITIMER_REAL, max(others - (time.monotonic() - began), 1e-3))


def in_chunks(
    what: str, function: Callable[..., Chunk], count: int, size: int, arguments: Sequence[Any], tick: Tick
) -> Found:
    """``function(*arguments, chunk number, calls)`` until ``count`` calls were made, on every core."""
    calls = ((*arguments, number, min(size, count - number * size)) for number in range(-(-count // size)))
    done, faults, memory = 0, list[str](), dict[int, list[float]]()
    try:
        for chunk in ordered_map(function, calls, workers=usable_cores(), ahead=2):
            done += chunk.done
            faults += chunk.faults
            memory.setdefault(chunk.pid, []).append(chunk.rss_mb)
            tick(chunk.done)
    except (
        RuntimeError,
        OSError,
        MemoryError,
    ) as error:  # it crashed: a signal of the system's, a full disk, or a bug of this harness
        faults.append(f"after {done}: {error}")
    for sizes in memory.values():
        early, late = max(sizes[: max(1, len(sizes) // 4)]), sizes[-1]
        if late > early + _GROWN_MB:
            faults.append(f"memory grew from {early:.0f} to {late:.0f} MB")
    peak = max((max(sizes) for sizes in memory.values()), default=0.0)
    return Found(what, done, tuple(faults), f"at most {peak:.0f} MB a process")


def noise(rng: Any, most: int = 60) -> str:
    """Characters of every kind that a tokenizer can write."""
    kinds = ("az", "AZ", "09", "\x00\x1f", " ~", "\u00a0\u07ff", "\u2000\u206f", "\u4e00\u9fff", "\U0001f300\U0001faff")
    text = []
    for _ in range(rng.randrange(most)):
        low, high = rng.choice(kinds)
        text.append(chr(rng.randint(ord(low), ord(high))))
    return "".join(text)


def mutated(rng: Any, text: str) -> str:
    """Some characters dropped, doubled, swapped or replaced."""
    characters = list(text)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(characters) + 1)
        characters[place : place + rng.randrange(3)] = rng.choice(
            ["", noise(rng, 4), text[:5], text[place : place + 9]]
        )
    return "".join(characters)
