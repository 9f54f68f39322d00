"""Tensors of every size, type and value: of `make fuzz` as many as a second has room for."""

from __future__ import annotations

from tests.faults.tensors import call_some


def test_odd_tensors_give_a_result_or_a_value_error() -> None:
    chunk = call_some(0, 0, 300)
    assert (chunk.done, chunk.faults) == (300, [])
