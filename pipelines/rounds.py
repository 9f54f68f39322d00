"""A round: answer when every live participant has asked, rows in participant order.

The local policy and the environment pool both work this way: their batches, and with them the bits, depend on the
episodes alone and never on which of them was fastest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Rounds(Generic[Q, A]):
    """``answer`` maps the questions of one round, sorted by participant, to as many answers.

    An answer that is an ``Exception`` instance is raised at its participant; an exception raised by ``answer`` itself
    reaches all of them.
    """

    def __init__(self, answer: Callable[[Sequence[tuple[int, Q]]], Sequence[A | Exception]]) -> None:
        self._answer = answer
        self.live: set[int] = set()  # who has not left
        self._waiting: dict[int, tuple[Q, asyncio.Future[A]]] = {}

    def open(self, participants: int) -> None:
        """Participants 0 … participants-1 are live from now on. Raises RuntimeError when a round is under way."""
        if self._waiting:
            raise RuntimeError("a round is under way")
        self.live = set(range(participants))

    async def ask(self, participant: int, question: Q) -> A:
        if participant not in self.live:
            raise RuntimeError(f"participant {participant} is not live")
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting[participant] = (question, future)
        try:
            self._fire_if_complete()
            return await future
        finally:  # cancelled: the question is withdrawn
            if participant in self._waiting and self._waiting[participant][1] is future:
                del self._waiting[participant]

    def leave(self, participant: int) -> None:
        """The participant asks no more. The others' round no longer waits for it."""
        self.live.discard(participant)
        self._fire_if_complete()

    def _fire_if_complete(self) -> None:
        asking = {i: entry for i, entry in self._waiting.items() if not entry[1].done()}  # done: being cancelled
        if not asking or len(asking) < len(self.live):
            return
        rows = sorted(asking.items())
        self._waiting = {}
        try:
            answers = self._answer([(i, question) for i, (question, _) in rows])
        except Exception as error:
            for _, (_, future) in rows:
                future.set_exception(error)
            return
        for (_, (_, future)), answer in zip(rows, answers, strict=True):
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
