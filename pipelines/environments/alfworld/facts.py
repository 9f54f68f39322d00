"""The set of facts that hold in a game, with a digest that costs what a step changes, not what the room holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache

from textworld.logic import Proposition


class FactSet:
    """Facts that hold, each as its number. A negated fact stands for the absence of its counterpart and is no member."""

    def __init__(self, facts: Iterable[Proposition]) -> None:
        self._members: set[int] = set()
        self._sum = 0
        for fact in facts:
            self.settle(fact)

    def copy(self) -> FactSet:
        """A set of its own with the same members."""
        twin = FactSet(())
        twin._members, twin._sum = set(self._members), self._sum
        return twin

    def settle(self, fact: Proposition) -> None:
        """From now on the fact holds; if it is negated, its counterpart does not."""
        holds, number = not fact.is_negation, _number(fact)
        if holds != (number in self._members):
            self._members ^= {number}
            self._sum ^= number

    @property
    def digest(self) -> str:
        """32 hexadecimal digits: the exclusive or of the members' own digests, so that neither their order nor the way that
        led to the set bears on it."""
        return f"{self._sum:032x}"


@lru_cache(maxsize=1 << 16)
def _number(fact: Proposition) -> int:
    """The first 128 bits of the SHA-256 of ``name(argument: type, …)``; a fact and its negation have the same."""
    positive = fact.negate() if fact.is_negation else fact
    return int.from_bytes(hashlib.sha256(str(positive).encode()).digest()[:16])
