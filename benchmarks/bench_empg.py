"""EMPG advantages: vectorised over the batch against loops over its steps.

Both start from the tensors a trainer holds (token entropies [B, T], one advantage per trajectory, recorded spans) and end
with a tensor of token advantages [B, T]. Two loops: over steps with tensor slices, the form of the paper's listing (but
its search for delimiters, which would cost more); and over Python lists, conversions included. Neither knows ``empg``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks.measure import Row, at_least, cpu_seconds, take_turns
from empg import EMPGConfig, modulate_advantages, spread_over_tokens, step_ids_from_spans, step_means

TRAJECTORIES, STEPS, ACTION, OBSERVATION = 128, 50, 60, 20
ZETA, EPS, TOLERANCE = 0.05, 1e-8, 1e-6
REPEATS = 7

Spans = list[list[tuple[int, int]]]


@dataclass(frozen=True)
class Batch:
    """As after a rollout: T = STEPS · (OBSERVATION + ACTION); ``spans`` are the action tokens of each step."""

    entropies_BT: torch.Tensor
    advantages_B: torch.Tensor
    spans: Spans
    step_ids_BT: torch.Tensor
    owner_N: torch.Tensor


def bench_empg() -> list[Row]:
    """One row per loop."""
    torch.set_num_threads(1)
    batch = _batch()
    name = f"EMPG advantages, {TRAJECTORIES} × {STEPS} × {ACTION} tokens, loop over "
    loops = (("tensor slices", loop_over_slices, 50.0), ("Python lists", loop_over_lists, 20.0))
    return [_compare(name + what, loop, target, batch) for what, loop, target in loops]


def _compare(name: str, loop: Callable[[Batch], torch.Tensor], target: float, batch: Batch) -> Row:
    difference = float((loop(batch) - vectorised(batch)).abs().max())  # also the warm-up
    pairs = take_turns(
        lambda: 1000 * cpu_seconds(lambda: loop(batch)),
        lambda: 1000 * cpu_seconds(lambda: vectorised(batch)),
        REPEATS,
        name,
    )
    return at_least(name, pairs, target, "CPU ms", identical=difference <= TOLERANCE, difference=difference)


def _batch() -> Batch:
    """Plausible numbers: long-tailed entropies, advantages of both signs."""
    generator = torch.Generator().manual_seed(0)
    length = OBSERVATION + ACTION
    spans = [[(t * length + OBSERVATION, (t + 1) * length) for t in range(STEPS)] for _ in range(TRAJECTORIES)]
    entropies = torch.rand(TRAJECTORIES, STEPS * length, generator=generator, dtype=torch.float64) ** 3
    ids = [step_ids_from_spans(row, STEPS * length, first=i * STEPS) for i, row in enumerate(spans)]
    return Batch(
        entropies_BT=entropies,
        advantages_B=torch.randn(TRAJECTORIES, generator=generator, dtype=torch.float64),
        spans=spans,
        step_ids_BT=torch.stack(ids),
        owner_N=torch.arange(TRAJECTORIES).repeat_interleave(STEPS),
    )


def vectorised(batch: Batch) -> torch.Tensor:
    entropies_N = step_means(batch.entropies_BT, batch.step_ids_BT, TRAJECTORIES * STEPS)
    config = EMPGConfig(zeta=ZETA)
    modulation = modulate_advantages(batch.advantages_B[batch.owner_N], entropies_N, batch.owner_N, config)
    return spread_over_tokens(modulation.advantages, batch.step_ids_BT)


def loop_over_slices(batch: Batch) -> torch.Tensor:
    """As printed in the paper: collect step entropies, scale each step's slice, add its bonus, subtract the mean."""
    steps = [(row, start, stop) for row, spans in enumerate(batch.spans) for start, stop in spans]
    norms, gains = _normalise([batch.entropies_BT[row, start:stop].mean().item() for row, start, stop in steps])
    final = torch.zeros_like(batch.entropies_BT)
    values = []
    for i, (row, start, stop) in enumerate(steps):
        final[row, start:stop] = batch.advantages_B[row]
        final[row, start:stop] *= gains[i]
        if i + 1 < len(steps) and steps[i + 1][0] == row:
            final[row, start:stop] += ZETA * math.exp(-norms[i + 1])
        values.append(final[row, start].item())
    mean = sum(values) / len(values)
    for row, start, stop in steps:
        final[row, start:stop] -= mean
    return final


def loop_over_lists(batch: Batch) -> torch.Tensor:
    """No tensor but at the beginning and at the end."""
    entropies, advantages = batch.entropies_BT.tolist(), batch.advantages_B.tolist()
    steps = [(row, start, stop) for row, spans in enumerate(batch.spans) for start, stop in spans]
    norms, gains = _normalise([sum(entropies[row][start:stop]) / (stop - start) for row, start, stop in steps])
    values = []
    for i, (row, _, _) in enumerate(steps):
        value = advantages[row] * gains[i]
        if i + 1 < len(steps) and steps[i + 1][0] == row:
            value += ZETA * math.exp(-norms[i + 1])
        values.append(value)
    mean = sum(values) / len(values)
    final = [[0.0] * len(row) for row in entropies]
    for value, (row, start, stop) in zip(values, steps, strict=True):
        for token in range(start, stop):
            final[row][token] = value - mean
    return torch.tensor(final, dtype=torch.float64)


def _normalise(entropies: list[float]) -> tuple[list[float], list[float]]:
    """H_norm and g of every step."""
    low, high = min(entropies), max(entropies)
    norms = [(h - low) / (high - low + EPS) for h in entropies]
    weights = [math.exp(-h) for h in norms]
    mean = sum(weights) / len(weights)
    return norms, [weight / mean for weight in weights]
