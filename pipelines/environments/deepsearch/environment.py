"""One question behind the ``Environment`` protocol: search, open pages, answer once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipelines.environments.deepsearch.actions import read_action
from pipelines.environments.deepsearch.documents import Document
from pipelines.environments.deepsearch.questions import Question
from pipelines.environments.deepsearch.retrieval import Retriever
from pipelines.environments.deepsearch.text import exact_match, f1
from pipelines.protocols import Observation, Outcome

INVALID = "My previous action is invalid."
NO_PAGE = "There is no such page."
NO_RESULTS = "No results."


class Judge(Protocol):
    def expect(self, question: Question, answer: str) -> None:
        """A verdict that will be asked for in this round."""
        ...

    def verdict(self, question: Question, answer: str) -> bool:
        """Whether the answer is right. Raises EnvironmentFailure when the judge failed for good."""
        ...


@dataclass(frozen=True, slots=True)
class Shown:
    """How much of a document a search, and of a page its viewer, shows: characters."""

    passage: int
    page: int


class DeepsearchEnvironment:
    """Single use. An answer ends the episode: reward 1 and success when it is right (exact match, or the judge's word), else
    0; ``score`` is its F1. Before that everything is 0. An invalid action changes nothing.

    Raises (step):
        EnvironmentFailure: the retrieval server, or the judge, failed for good.
    """

    def __init__(self, question: Question, retriever: Retriever, shown: Shown, judge: Judge | None) -> None:
        self._question, self._retriever, self._shown, self._judge = question, retriever, shown, judge
        self._state = "new"

    def reset(self) -> Observation:
        if self._state != "new":
            raise RuntimeError("an environment plays one episode")
        self._state = "running"
        return Observation(self._question.question)

    def expect(self, action: str) -> None:
        """``step`` will be given this action: told of a whole round, servers are asked once for all of it."""
        read = read_action(action)
        if read is None:
            return
        if read.kind == "search":
            self._retriever.expect(read.argument)
        elif read.kind == "answer" and self._judge is not None and not self._matches(read.argument):
            self._judge.expect(self._question, read.argument)

    def step(self, action: str) -> Outcome:
        if self._state != "running":
            raise RuntimeError("reset the environment before the first step, and make another after the answer")
        read = read_action(action)
        if read is None:
            return _going_on(INVALID, valid=False)
        if read.kind == "answer":
            return self._answered(read.argument)
        if read.kind == "search":
            return _going_on(_results(self._retriever.search(read.argument), self._shown.passage))
        page = self._retriever.page(read.argument)
        return _going_on(NO_PAGE, valid=False) if page is None else _going_on(_page(page, self._shown.page))

    def _answered(self, answer: str) -> Outcome:
        right = self._matches(answer)
        if not right and self._judge is not None:
            right = self._judge.verdict(self._question, answer)
        self._state = "done"
        score = f1(answer, self._question.golden)
        return Outcome(Observation(""), float(right), score, success=right, done=True, valid=True)

    def _matches(self, answer: str) -> bool:
        return exact_match(answer, self._question.golden)

    def close(self) -> None:
        self._state = "done"


def _going_on(text: str, *, valid: bool = True) -> Outcome:
    return Outcome(Observation(text), 0.0, 0.0, success=False, done=False, valid=valid)


def _results(found: Sequence[Document], most: int) -> str:
    """Search-R1's form (``_passages2string``)."""
    lines = [f"Doc {i}(Title: {_title(d)}) {_cut(d.text, most)}" for i, d in enumerate(found, start=1)]
    return _information("\n".join(lines) or NO_RESULTS)


def _page(page: Document, most: int) -> str:
    return _information(f"Page(Title: {_title(page)}) {_cut(page.text, most)}")


def _information(text: str) -> str:
    return f"<information>{text.strip()}</information>"


def _title(document: Document) -> str:
    return _cut(document.title, 200)


def _cut(text: str, most: int) -> str:
    """At most so many characters, cut between words; markup of our own in a page cannot end the block."""
    text = text.replace(
        "</information>", " "
    ).strip()  # a blank: without one, what is left could join to the mark again
    return text if len(text) <= most else text[:most].rsplit(" ", 1)[0] + " …"
