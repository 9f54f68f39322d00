"""Worker processes: the same results whatever process computes them."""

from __future__ import annotations

import errno

import pytest

from pipelines.errors import DataError
from pipelines.workers import ordered_map


def order_of_a_set(names: str) -> list[str]:
    return list(set(names.split()))


def test_every_worker_goes_through_a_set_of_names_in_the_same_order() -> None:
    """Python draws the hashes of text anew for each process; eight names have 40,320 orders."""
    names = "fridge oven stove table counter knife cookbook shelf"
    orders = list(ordered_map(order_of_a_set, [(names,)] * 4, workers=4))
    assert len(orders[0]) == 8
    assert orders == [orders[0]] * 4


def fail(kind: str) -> None:
    raise {
        "data": DataError("line 3 is cut"),
        "disk": OSError(errno.ENOSPC, "No space left on device", "games/3"),
        "memory": MemoryError(),
        "bug": KeyError("table"),
    }[kind]


def test_what_a_user_can_mend_is_raised_as_it_was_and_a_bug_with_its_traceback() -> None:
    def raised(kind: str) -> BaseException:
        with pytest.raises(Exception) as caught:
            list(ordered_map(fail, [(kind,)], workers=1))
        return caught.value

    assert isinstance(raised("data"), DataError)
    full = raised("disk")
    assert isinstance(full, OSError)
    assert (full.errno, full.filename) == (errno.ENOSPC, "games/3")
    assert "in fail" in full.__notes__[0]  # where a traceback is shown
    assert isinstance(raised("memory"), MemoryError)
    bug = raised("bug")
    assert isinstance(bug, RuntimeError)
    assert "Traceback" in str(bug)
    assert "in fail" in str(bug)
