"""How much is left, by hand."""

from __future__ import annotations

import pytest

from flows.windows.pace import RecentPace, hours
from flows.windows.status import Left, seconds_left

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


def test_the_pace_is_that_of_the_last_units() -> None:
    """Ten units of 5 s, then three of 20 s: 7 more take 140 s."""
    pace, now = RecentPace(3.0, 0.0), 0.0
    for unit in range(1, 14):
        now += 5.0 if unit <= 10 else 20.0
        pace.saw(float(unit), now)
    assert pace.left(13.0, 20.0) == pytest.approx(140.0)


def test_what_was_found_says_nothing_of_the_pace() -> None:
    """Ten of 20 units are found within a second: nothing is told, and after two units of 30 s, 8 · 30 s."""
    pace = RecentPace(3.0, 0.0)
    for tenth in range(10):
        pace.saw(0.0, tenth / 10, found=float(tenth + 1))
    assert pace.left(10.0, 20.0) is None
    pace.saw(1.0, 30.9, found=10.0)
    pace.saw(2.0, 60.9, found=10.0)
    assert pace.left(12.0, 20.0) == pytest.approx(240.0)


def test_what_is_no_unit_itself_takes_time_too() -> None:
    """An iteration of 20 s of rollout and update, and 30 s of advantages between them, which are told and add no unit: ten of 20
    took 500 s, and so will the other ten. A stage that was found meanwhile, after a minute's wait, does not count."""
    pace, now = RecentPace(3.0, 0.0), 0.0
    for unit in range(10):
        for seconds, done in ((12.0, 0.6), (30.0, 0.6), (8.0, 1.0)):
            now += seconds
            pace.saw(unit + done, now)
    assert pace.left(10.0, 20.0) == pytest.approx(500.0)
    pace.saw(10.0, now + 60.0, found=1.0)
    pace.saw(11.0, now + 110.0, found=1.0)
    assert pace.left(12.0, 20.0) == pytest.approx(400.0)


def test_nothing_is_told_below_two_percent() -> None:
    pace = RecentPace(3.0, 0.0)
    pace.saw(1.9, 10.0)
    assert pace.left(1.9, 100.0) is None
    pace.saw(2.0, 11.0)
    assert pace.left(2.0, 100.0) == pytest.approx(98 * 11 / 2)


@pytest.mark.parametrize(("seconds", "said"), [(0, "0:01 h"), (61, "0:02 h"), (3600, "1:00 h"), (58_835, "16:21 h")])
def test_hours_and_minutes(seconds: float, said: str) -> None:
    assert hours(seconds) == said


def test_what_is_done_has_no_time_left() -> None:
    pace = RecentPace(1.0, now=0.0)
    pace.saw(0.5, now=10.0)
    assert pace.left(0.5, 1.0) == pytest.approx(10.0)  # half took ten seconds
    pace.saw(1.0, now=20.0)
    assert pace.left(1.0, 1.0) is None
