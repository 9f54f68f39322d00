"""How much is left, by hand."""

from __future__ import annotations

import pytest

from flows.windows.status import Left, Pace, seconds_left

NOTHING: dict[str, float] = {}


def test_runs_follow_each_other_on_free_processes() -> None:
    """Two processes: 10 and 4 run; 5 starts at 4 and ends at 9, 3 starts at 9 and ends at 12."""
    assert seconds_left([Left(10), Left(4)], [Left(5), Left(3)], NOTHING, 2) == 12


def test_one_process_has_the_sum() -> None:
    assert seconds_left([], [Left(5), Left(3), Left(2)], NOTHING, 1) == 10


def test_nothing_is_left_of_nothing() -> None:
    assert seconds_left([], [], NOTHING, 2) == 0


def test_the_first_that_needs_a_warm_start_makes_it_and_others_wait() -> None:
    """100 of the warm start, then both runs at once: 100 + 10."""
    assert seconds_left([], [Left(10, "w"), Left(10, "w")], {"w": 100}, 2) == 110


def test_one_being_made_is_waited_for() -> None:
    """40 are left of it: its maker ends at 50; the other process waits until 40 and ends at 45, then the third at 52."""
    assert seconds_left([Left(10, "w"), Left(5, "w")], [Left(7, "w")], {"w": 40}, 2) == 52


def test_different_warm_starts_are_made_side_by_side() -> None:
    """30 + 10 beside 20 + 10; the one that follows on the second process, at 30, finds its own at 30."""
    waiting = [Left(10, "a"), Left(10, "b"), Left(1, "a")]
    assert seconds_left([], waiting, {"a": 30, "b": 20}, 2) == 40


def test_the_last_long_one_is_what_is_left() -> None:
    assert seconds_left([Left(100), Left(1)], [Left(2), Left(3)], NOTHING, 2) == 100


def test_the_pace_is_measured_over_expected() -> None:
    """Begins as expected; 540 s for 240 expected weigh more than the 60 s it began with: (60 + 540) / (60 + 240)."""
    pace = Pace()
    assert pace.factor == 1
    for _ in range(540):
        pace.saw(240 / 540, 1.0)
    assert pace.factor == pytest.approx(2.0)


def test_what_was_found_in_the_store_says_nothing_of_the_pace() -> None:
    pace = Pace()
    pace.saw(expected=120.0, measured=1.0)
    assert pace.factor == 1
