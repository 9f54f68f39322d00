"""Tokens ↔ steps, by recorded spans. A step is one assistant message; nothing is searched for in token ids."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from empg.checks import all_finite, require_finite

PAD = -1


def step_ids_from_spans(spans: Sequence[tuple[int, int]], length: int, *, first: int = 0) -> torch.Tensor:
    """Step ids int64[length] from half-open action spans recorded at rollout; ``PAD`` (-1) outside all spans.

    Raises:
        ValueError: a span is empty, out of range, or overlaps the one before.
    """
    ids = torch.full((length,), PAD, dtype=torch.int64)
    end = 0
    for i, (start, stop) in enumerate(spans):
        if not end <= start < stop <= length:
            raise ValueError(f"span {i} = ({start}, {stop}) is empty, out of [0, {length}), or overlaps the one before")
        ids[start:stop] = first + i
        end = stop
    return ids


def step_means(values_T: torch.Tensor, step_ids_T: torch.Tensor, steps: int) -> torch.Tensor:
    """Mean of token values over each step: [..., T] values with ids in [0, steps) or ``PAD`` → [steps].

    H_t of the paper when the values are token entropies. Works on flattened batches: any shape, ids unique per step.
    float16 and bfloat16 are summed in float32. What stands at ``PAD`` may be anything.

    Raises:
        ValueError: a step has no token (its mean is undefined), an id is out of range, shapes differ, or a step's value
            is not finite.
    """
    if values_T.shape != step_ids_T.shape:
        raise ValueError(f"values {list(values_T.shape)} and step ids {list(step_ids_T.shape)} differ in shape")
    flat = values_T.reshape(-1)
    if flat.dtype not in (torch.float32, torch.float64):
        flat = flat.float()
    # A step's tokens stand beside each other: what is summed over is their runs, a hundredth of them.
    ids, lengths = torch.unique_consecutive(step_ids_T.reshape(-1), return_counts=True)
    for wrong in ids[(ids < PAD) | (ids >= steps)].tolist():
        raise ValueError(f"step id {wrong} is out of [0, {steps})")
    sums = torch.segment_reduce(flat, "sum", lengths=lengths) if len(ids) else flat  # it refuses no tokens at all
    counts = lengths.new_zeros(steps + 1).index_add(0, ids - PAD, lengths)[1:]
    if (counts == 0).any():
        raise ValueError(f"step {int((counts == 0).nonzero()[0])} has no tokens")
    means: torch.Tensor = sums.new_zeros(steps + 1).index_add(0, ids - PAD, sums)[1:] / counts
    if not all_finite(means):  # NaN and infinity show in their step's mean; only then are the tokens searched
        require_finite(values=torch.where(step_ids_T == PAD, 0.0, values_T), means=means)
    return means.to(values_T.dtype) if values_T.is_floating_point() else means


def spread_over_tokens(values_N: torch.Tensor, step_ids_T: torch.Tensor) -> torch.Tensor:
    """Each step's value at each of its tokens, 0 at ``PAD``: [N] and ids in [-1, N) [..., T] → [..., T].

    Raises:
        ValueError: an id below ``PAD``.
        IndexError: an id beyond the values.
    """
    if step_ids_T.numel() and (lowest := int(step_ids_T.min())) < PAD:  # take would count it from the end
        raise ValueError(f"step id {lowest} is below {PAD}")
    padded = torch.cat([values_N, values_N.new_zeros(1)])
    return torch.take(padded, step_ids_T)  # PAD, −1, is the last: three times as fast as index_select with shifted ids
