"""Ask for a whole round at once: expected questions are collected and asked together when the first answer is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Generic, TypeVar

from pipelines.errors import EnvironmentFailure

Q = TypeVar("Q")
A = TypeVar("A")


class Together(Generic[Q, A]):
    """``ask`` maps different questions to as many answers; a question that failed has its failure for an answer."""

    def __init__(self, ask: Callable[[list[Q]], list[A | EnvironmentFailure]]) -> None:
        self._ask = ask
        self._expected: Counter[Q] = Counter()
        self._answers: dict[Q, A | EnvironmentFailure] = {}
        self._left: Counter[Q] = (
            Counter()
        )  # how often each answer will still be asked for; none is kept for another round

    def expect(self, question: Q) -> None:
        """Announce a question. Nothing is asked yet."""
        self._expected[question] += 1

    def answer(self, question: Q) -> A:
        """The answer to a question. Those of all expected questions are fetched with it. Raises EnvironmentFailure."""
        if self._expected or not self._left[question]:
            questions = list({**self._expected, question: 1})
            self._left, self._expected = self._expected, Counter()
            self._left[question] = max(self._left[question], 1)
            self._answers = dict(zip(questions, self._ask(questions), strict=True))
        self._left[question] -= 1
        answer = self._answers[question]
        if isinstance(answer, EnvironmentFailure):
            raise type(answer)(*answer.args)
        return answer
