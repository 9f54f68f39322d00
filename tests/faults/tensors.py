"""Tensors of every size, type and value through ``empg``: a result of the right shape, or a ValueError that says why not."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.empg.reference_credit import Episode, Move
from tests.empg.worlds import batch_of
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


def _tokens(rng: random.Random, size: int, vocabulary: int) -> Any:
    """At times one is out of range, or they are no integers."""
    import torch

    ids = [rng.randrange(max(vocabulary, 1)) for _ in range(size)]
    if ids and rng.random() < 0.2:
        ids[rng.randrange(size)] = rng.choice((-1, -(2**40), vocabulary, vocabulary + 2, 2**40))
    return torch.tensor(ids, dtype=rng.choice((torch.int64,) * 18 + (torch.float64, torch.bool)))


def _entropy_from_logits(rng: random.Random) -> None:
    import empg

    size, vocabulary = _size(rng), rng.choice((0, 1, 2, 7, 7, 7))
    tokens = _tokens(rng, size, vocabulary)
    _check_entropy(
        tokens, empg.logprobs_and_entropy_from_logits(_floats(rng, size, vocabulary), tokens, **_options(rng))
    )


def _entropy(rng: random.Random) -> None:
    """At times of two dtypes, or of two widths."""
    import empg

    size, width, vocabulary = _size(rng), rng.choice((0, 1, 3)), rng.choice((0, 1, 2, 7, 7, 7))
    tokens, hidden = _tokens(rng, size, vocabulary), _floats(rng, size, width)
    lm_head = _floats(rng, vocabulary, width + (rng.random() < 0.1))
    if rng.random() < 0.8:
        lm_head = lm_head.to(hidden.dtype)
    _check_entropy(tokens, empg.logprobs_and_entropy(hidden, lm_head, tokens, **_options(rng)))


def _options(rng: random.Random) -> dict[str, Any]:
    return {
        "temperature": rng.choice((*(1.0, 0.5, 1e-8, 100.0) * 3, 0.0)),
        "chunk_size": rng.choice((*(None, 1, 2) * 5, 0, -1)),
    }


def _check_entropy(tokens: Any, found: Any) -> None:
    logprobs, entropy = found
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


def _credit(rng: random.Random) -> None:
    """Episodes with odd numbers through every estimator; at times a tensor of the batch is of another dtype or out of range."""
    from dataclasses import replace

    from empg.credit import ESTIMATORS, MODULATORS
    from empg.credit.assign import assign_credit

    batch = batch_of([_episode(rng) for _ in range(rng.choice((0, 1, 2, 5)))])
    if rng.random() < 0.2:
        name = rng.choice([name for name in vars(batch) if name.endswith(("_N", "_T"))])
        tensor = getattr(batch, name)
        harmed = rng.choice((tensor.float(), tensor[1:], tensor[None], -tensor.long() - 1, tensor + 2**40))
        batch = replace(batch, **{name: harmed})
    estimator: Any = ESTIMATORS[rng.choice(list(ESTIMATORS))]()
    modulator: Any = MODULATORS[rng.choice(list(MODULATORS))]()
    credit = assign_credit(batch, estimator, modulator)
    assert credit.advantages_N.shape == batch.trajectory_N.shape
    assert credit.advantages_N.isfinite().all()


def _episode(rng: random.Random) -> Episode:
    def number() -> float:
        return rng.choice((0.0, 1.0, rng.gauss(0, 1), rng.choice(_ODD) if rng.random() < 0.1 else 0.5))

    moves = [Move(rng.choice("abc"), rng.choice("xy"), rng.choice("abc"), 0.0, number(), number())
             for _ in range(rng.choice((0, 1, 3, 6)))]  # fmt: skip
    return Episode(rng.choice((0, 1, 2**62)), number() if moves else 0.0, tuple(moves))


_CALLS: dict[str, Callable[[random.Random], None]] = {
    "advantages": _advantages, "modulation": _modulation, "entropy": _entropy, "entropy from logits": _entropy_from_logits,
    "steps": _steps, "loss": _loss, "credit": _credit,
}  # fmt: skip
