"""Rows to ranks and micro-batches."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.policies.openrlhf.layout import lay_out


def test_by_hand() -> None:
    """Lengths 5 4 3 2 1, two ranks, longest first to the lighter rank: 5 | 4; 3 joins 4 (5 > 4) making 7; 2 joins 5 making
    7; 1 goes to rank 0 (7 = 7, the first). Micro-batches of 6 tokens, unpadded: rank 0 has 5, then 2 + 1 = 3; rank 1 has 4,
    then 3."""
    shares = lay_out([5, 4, 3, 2, 1], [[0, 1, 2, 3, 4]], 2, 6, padded=False)
    assert [share.rows for share in shares] == [[0, 3, 4], [1, 2]]
    assert [share.minibatches for share in shares] == [[[[0], [1, 2]]], [[[0], [1]]]]


def test_padded_rows_count_as_the_longest() -> None:
    """3 + 2 + 1 ≤ 6, but as three rows of three they are nine tokens: two rows fit, then one."""
    assert lay_out([3, 2, 1], [[0, 1, 2]], 1, 6, padded=False)[0].minibatches == [[[0, 1, 2]]]
    assert lay_out([3, 2, 1], [[0, 1, 2]], 1, 6, padded=True)[0].minibatches == [[[0, 1], [2]]]


def test_a_rank_without_rows_takes_part() -> None:
    shares = lay_out([7, 7], [[0], [1]], 3, 10, padded=True)
    assert [share.minibatches for share in shares] == [[[[0]], [[1]]], [[[]], [[]]], [[[]], [[]]]]


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=40),
    ranks=st.integers(1, 5),
    most=st.integers(1, 120),
    padded=st.booleans(),
    parts=st.integers(1, 4),
)
def test_every_row_once_and_all_ranks_in_step(
    lengths: list[int], ranks: int, most: int, padded: bool, parts: int
) -> None:
    minibatches = [list(range(part, len(lengths), parts)) for part in range(min(parts, len(lengths)))]
    shares = lay_out(lengths, minibatches, ranks, most, padded=padded)
    assert sorted(row for share in shares for row in share.rows) == list(range(len(lengths)))
    for number, rows in enumerate(minibatches):
        of_ranks = [share.minibatches[number] for share in shares]
        assert len({len(micros) for micros in of_ranks}) == 1
        met = [share.rows[i] for share in shares for micro in share.minibatches[number] for i in micro]
        assert sorted(met) == sorted(rows)
        for share, micros in zip(shares, of_ranks, strict=True):
            for micro in micros:
                held = [lengths[share.rows[i]] for i in micro]
                cost = max(held, default=0) * len(held) if padded else sum(held)
                assert len(micro) <= 1 or cost <= most
