"""What a part of ``make faults`` found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Tick = Callable[[int], None]  # so many more are done


@dataclass(frozen=True)
class Found:
    """``what`` was tried, how often (``done``), and each fault, with what makes it again. ``detail``: what was hit."""

    what: str
    done: int
    faults: tuple[str, ...]
    detail: str = ""

    def __str__(self) -> str:
        said = f"{self.what}: {self.done:,} times, {len(self.faults)} faults" + f" ({self.detail})" * bool(self.detail)
        return "\n".join((said, *self.faults))
