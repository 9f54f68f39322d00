"""Tensors of every size, type and value through ``empg``: a result of the right shape, or a ValueError that says why not."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.faults.found import Found, Tick
from tests.faults.fuzz import Chunk, in_chunks

_CHUNK = 5_000
_SIZES = (0, 1, 2, 3, 5, 17)
_ODD = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e-8, 1e8, 3e38, -3e38, float("inf"), float("-inf"), float("nan"))


def fuzz_tensors(count: int, seed: int, folder: Path, tick: Tick) -> list[Found]:
    return [in_chunks("odd tensors", call_some, count, _CHUNK, (seed,), tick)]


def call_some(seed: int, number: int, count: int) -> Chunk:
    import empg.objective  # noqa: F401  torch is no call's time

    rng, chunk = random.Random(f"{seed} {number}"), Chunk()
    for _ in range(count):
        name = rng.choice(list(_CALLS))
        chunk.try_one(
            f"{name}, call {chunk.done} of chunk {number} of seed {seed}", partial(_CALLS[name], rng), (ValueError,)
        )
    return chunk.closed()


def _floats(rng: random.Random, *shape: int) -> Any:
    import torch

    values = torch.randn(shape, generator=torch.Generator().manual_seed(rng.getrandbits(30)), dtype=torch.float64)
    values *= rng.choice((1.0, 1.0, 1e-6, 1e6, 0.0))
    if rng.random() < 0.3 and values.numel():
        values.view(-1)[rng.randrange(values.numel())] = rng.choice(_ODD)
    return values.to(rng.choice((torch.float32, torch.float64)))


def _ids(rng: random.Random, size: int) -> Any:
    import torch

    few = rng.choice((1, 2, 3, 2**62))
    return torch.tensor([rng.randint(-few, few) for _ in range(size)], dtype=torch.int64)


def _size(rng: random.Random) -> int:
    return rng.choice(_SIZES)


def _advantages(rng: random.Random) -> None:
    import empg

    size = _size(rng)
    estimate: Callable[..., Any] = rng.choice((empg.grpo_advantages, empg.dr_grpo_advantages, empg.rloo_advantages))
    rewards = _floats(rng, size)
    found = estimate(rewards, _ids(rng, rng.choice((size, size, size, size + 1))))
    assert found.shape == rewards.shape
    if size and rewards.abs().max() < 1e30:
        assert found.isfinite().all(), (rewards, found)


def _modulation(rng: random.Random) -> None:
    import torch

    import empg

    size = _size(rng)
    config = empg.EMPGConfig.arm(rng.choice(list(empg.ARMS)))
    advantages, entropies = _floats(rng, size), _floats(rng, size)
    index = rng.choice((None, torch.arange(size)))
    found = empg.modulate_advantages(advantages, entropies, _ids(rng, size), config, step_index=index)
    assert found.advantages.shape == advantages.shape
    if size and max(advantages.abs().max(), entropies.abs().max()) < 1e30:
        assert found.advantages.isfinite().all(), (advantages, entropies, found)


def _entropy(rng: random.Random) -> None:
    import torch

    import empg

    size, vocabulary = _size(rng), rng.choice((1, 2, 7))
    tokens = torch.tensor([rng.randrange(vocabulary) for _ in range(size)], dtype=torch.int64)
    temperature = rng.choice((1.0, 1.0, 0.5, 0.0, 1e-8, 100.0))
    logprobs, entropy = empg.logprobs_and_entropy_from_logits(
        _floats(rng, size, vocabulary), tokens, temperature=temperature
    )
    assert logprobs.shape == entropy.shape == tokens.shape
    assert not (logprobs > 1e-6).any()
    assert not (entropy < -1e-6).any()


def _steps(rng: random.Random) -> None:
    import torch

    import empg

    size, steps = _size(rng), rng.choice((0, 1, 3))
    ids = torch.tensor([rng.randint(-1, max(steps, 1)) for _ in range(size)], dtype=torch.int64)
    means = empg.step_means(_floats(rng, size), ids, steps)
    assert means.shape == (steps,)
    assert empg.spread_over_tokens(means, ids).shape == (size,)


def _loss(rng: random.Random) -> None:
    import torch

    import empg

    rows, columns = _size(rng), _size(rng)
    mask = torch.tensor([[rng.random() < 0.5 for _ in range(columns)] for _ in range(rows)], dtype=torch.bool).reshape(
        rows, columns
    )
    old, new, advantages = (_floats(rng, rows, columns) for _ in range(3))
    loss, _ = empg.policy_loss(new, old, advantages, mask, empg.LossSettings())
    assert loss.ndim == 0


_CALLS: dict[str, Callable[[random.Random], None]] = {
    "advantages": _advantages, "modulation": _modulation, "entropy": _entropy, "steps": _steps, "loss": _loss,
}  # fmt: skip
