"""Worker processes: the same results whatever process computes them."""

from __future__ import annotations

from pipelines.workers import ordered_map


def order_of_a_set(names: str) -> list[str]:
    return list(set(names.split()))


def test_every_worker_goes_through_a_set_of_names_in_the_same_order() -> None:
    """Python draws the hashes of text anew for each process; eight names have 40,320 orders."""
    names = "fridge oven stove table counter knife cookbook shelf"
    orders = list(ordered_map(order_of_a_set, [(names,)] * 4, workers=4))
    assert len(orders[0]) == 8
    assert orders == [orders[0]] * 4
