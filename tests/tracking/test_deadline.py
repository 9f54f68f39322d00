"""A call that hangs holds nobody up for longer than its deadline, nor does the next one."""

from __future__ import annotations

import threading

import pytest

from pipelines.tracking.deadline import Bounded, Deadline


def test_a_call_gives_what_it_returns_and_raises_what_it_raises() -> None:
    deadline = Deadline(5.0)
    assert deadline.call(lambda: None) is None
    assert deadline.call(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        deadline.call(lambda: 1 // 0)


def test_while_a_call_hangs_the_next_one_is_not_made() -> None:
    release, made = threading.Event(), list[str]()

    class Client:
        def hang(self) -> None:
            made.append("hang")
            release.wait()

        def ask(self) -> str:
            made.append("ask")
            return "answer"

    bounded = Bounded(Client(), Deadline(0.05), lambda method: 60.0 if method == "ask" else 0.0)
    assert bounded.ask() == "answer"
    for _ in range(3):
        with pytest.raises(TimeoutError):
            bounded.hang()
        with pytest.raises(TimeoutError):
            bounded.ask()
    assert made == ["ask", "hang"]
    release.set()
    for thread in threading.enumerate():
        if thread.name == "with a deadline":
            thread.join()
    assert bounded.ask() == "answer"


def test_a_call_may_have_more_time_by_what_it_carries() -> None:
    asked: list[tuple[object, ...]] = []

    def more_s(*call: object) -> float:
        asked.append(call)
        return 60.0

    late = threading.Event()
    threading.Timer(0.3, late.set).start()
    bounded = Bounded(late, Deadline(0.001), more_s)
    assert bounded.wait(30)
    assert asked == [("wait", 30)]


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


def test_who_answers_late_takes_twenty_seconds_and_a_twentieth_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six answers of 5 s are late by 4 each: 24 of 30 s, of which 20 + 1.5 are allowed. At 81 s 24.05 are."""
    clock = Clock()
    monkeypatch.setattr("pipelines.tracking.deadline.time", clock)
    deadline = Deadline(60.0)
    for _ in range(6):
        deadline.call(lambda: clock.pass_by(5.0))
    with pytest.raises(TimeoutError, match="late answers took 24 of 30 s"):
        deadline.call(lambda: pytest.fail("asked"))
    clock.pass_by(51.0)
    assert deadline.call(lambda: 3) == 3


def test_what_a_call_carries_makes_it_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("pipelines.tracking.deadline.time", clock)
    deadline = Deadline(60.0)
    for _ in range(9):
        deadline.call(lambda: clock.pass_by(100.0), more_s=99.0)
    assert deadline.call(lambda: 3) == 3
