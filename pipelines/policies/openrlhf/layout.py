"""Who computes what: rows to ranks, and each rank's rows to mini- and micro-batches. Plain lists, no tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.records import FloatArray, TrainingSequence

Micro = list[int]  # indices of a rank's rows; empty: the rank only takes part in what all ranks must do together


@dataclass(frozen=True, eq=False, slots=True)
class Row:
    """What a rank's update needs of a sequence; all float32[T]. ``old_logprobs`` are the trainer's own before the
    update, ``reference_logprobs`` the frozen model's (0 without a KL loss)."""

    sequence: TrainingSequence
    old_logprobs: FloatArray
    reference_logprobs: FloatArray


@dataclass(frozen=True, slots=True)
class Share:
    """A rank's part. ``rows``: indices into the batch; ``minibatches``: of each optimiser step its micro-batches, which
    count from the rank's first row. All ranks have as many micro-batches in each."""

    rows: list[int]
    minibatches: list[list[Micro]]


@dataclass(frozen=True, slots=True)
class Totals:
    """Of a mini-batch over all ranks: its action ``tokens``, its ``sequences`` that have any, and the ``divisor`` of a sum over tokens
    (the tokens, or the sequences times a constant length)."""

    tokens: float
    sequences: float
    divisor: float


def lay_out(
    lengths: Sequence[int], minibatches: Sequence[Sequence[int]], ranks: int, most_tokens: int, *, padded: bool
) -> list[Share]:
    """Spread every mini-batch evenly over the ranks, and cut each rank's part into micro-batches of ≤ ``most_tokens``
    tokens (a longer row goes alone). ``padded``: tokens count as rows × the longest of them."""
    shares = [Share([], []) for _ in range(ranks)]
    for rows in minibatches:
        cut = [_micro_batches(part, lengths, most_tokens, padded) for part in _balanced(rows, lengths, ranks)]
        most = max(len(micros) for micros in cut)
        for share, micros in zip(shares, cut, strict=True):
            place = {}
            for row in (row for micro in micros for row in micro):
                place[row] = len(share.rows)
                share.rows.append(row)
            filled = micros + [[] for _ in range(most - len(micros))]
            share.minibatches.append([[place[row] for row in micro] for micro in filled])
    return shares


def _balanced(rows: Sequence[int], lengths: Sequence[int], ranks: int) -> list[list[int]]:
    """Longest first, each to the rank with the fewest tokens so far."""
    parts: list[list[int]] = [[] for _ in range(ranks)]
    tokens = [0] * ranks
    for row in sorted(rows, key=lambda row: (-lengths[row], row)):
        rank = tokens.index(min(tokens))
        parts[rank].append(row)
        tokens[rank] += lengths[row]
    return parts


def _micro_batches(rows: Sequence[int], lengths: Sequence[int], most_tokens: int, padded: bool) -> list[Micro]:
    """``rows`` come longest first."""
    micros: list[Micro] = []
    for row in rows:
        last = micros[-1] if micros else []
        held = lengths[last[0]] * (len(last) + 1) if padded and last else sum(lengths[r] for r in last) + lengths[row]
        if last and held <= most_tokens:
            last.append(row)
        else:
            micros.append([row])
    return micros
