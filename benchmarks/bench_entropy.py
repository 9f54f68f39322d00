"""Token log-prob and entropy from hidden states: in chunks against the whole matrix of logits.

Qwen2.5-0.5B's output layer (hidden 896, vocabulary 151,936) on 2,048 tokens, float32, one thread. The plain version is
what one writes first: logits, ``log_softmax``, ``gather``, −Σ p·log p. With gradients both go through log-prob and
entropy to the hidden states and the output matrix; its gradient (544 MB) counts in both peaks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks.measure import Pair, Row, at_least, at_most, cpu_seconds, say, take_turns
from benchmarks.peak_memory import peak_bytes
from empg import logprobs_and_entropy

SIZES = (2048, 896, 151_936)  # tokens, hidden, vocabulary
MEMORY_TARGET, FORWARD_TARGET, BACKWARD_TARGET = 10.0, 1.2, 2.0
REPEATS, TOLERANCE = 3, 1e-4
_MB = 1e6

Results = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Inputs:
    hidden: torch.Tensor
    lm_head: torch.Tensor
    tokens: torch.Tensor


def bench_entropy() -> list[Row]:
    """Peak memory and time, forward alone and with backward."""
    return [*_memory(), *_time()]


# -------------------------------------------------------------------------------------------------------- the two sides


def inputs(tokens: int, hidden: int, vocabulary: int) -> Inputs:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    return Inputs(
        hidden=torch.randn(tokens, hidden, generator=generator).requires_grad_(),
        lm_head=torch.randn(vocabulary, hidden, generator=generator).mul_(0.05).requires_grad_(),
        tokens=torch.randint(vocabulary, (tokens,), generator=generator),
    )


def plain(x: Inputs) -> Results:
    logp = (x.hidden @ x.lm_head.t()).log_softmax(-1)
    return logp.gather(1, x.tokens[:, None]).squeeze(1), -(logp.exp() * logp).sum(-1)


def chunked(x: Inputs) -> Results:
    return logprobs_and_entropy(x.hidden, x.lm_head, x.tokens)


def plain_forward(x: Inputs) -> Results:
    with torch.no_grad():
        return plain(x)


def chunked_forward(x: Inputs) -> Results:
    with torch.no_grad():
        return chunked(x)


def plain_backward(x: Inputs) -> None:
    _backward(plain(x))


def chunked_backward(x: Inputs) -> None:
    _backward(chunked(x))


def _backward(results: Results) -> None:
    """Of a sum: every token's gradient counts, of both results."""
    logprobs, entropy = results
    (logprobs.sum() + 0.1 * entropy.sum()).backward()


# -------------------------------------------------------------------------------------------------------- measurements


def _memory() -> list[Row]:
    """The plain peak is its few large tensors, the same every time; ours depends on what the allocator keeps."""
    rows = []
    for what, baseline, ours in _sides():
        plain_mb = peak_bytes(inputs, baseline, *SIZES) / _MB
        pairs: list[Pair] = [(plain_mb, peak_bytes(inputs, ours, *SIZES) / _MB) for _ in range(REPEATS)]
        say(f"peak memory, {what}: {plain_mb:.0f} MB and {', '.join(f'{mine:.0f}' for _, mine in pairs)} MB")
        rows.append(at_least(f"log-prob and entropy, peak memory, {what}", pairs, MEMORY_TARGET, "MB"))
    return rows


def _time() -> list[Row]:
    x, rows = inputs(*SIZES), []
    identical = _agree(plain_forward(x), chunked_forward(x))  # also the warm-up
    for (what, baseline, ours), target in zip(_sides(), (FORWARD_TARGET, BACKWARD_TARGET), strict=True):
        name = f"log-prob and entropy, time, {what}"
        pairs = _timed(x, baseline, ours, name)
        rows.append(at_most(name, pairs, target, "CPU s", identical=identical))
    return rows


def _timed(x: Inputs, baseline: Callable[[Inputs], object], ours: Callable[[Inputs], object], name: str) -> list[Pair]:
    def cost(work: Callable[[Inputs], object]) -> Callable[[], float]:
        def timed() -> float:
            x.hidden.grad = x.lm_head.grad = None
            return cpu_seconds(lambda: work(x))

        return timed

    return take_turns(cost(baseline), cost(ours), REPEATS, name)


def _sides() -> list[tuple[str, Callable[[Inputs], object], Callable[[Inputs], object]]]:
    return [("forward", plain_forward, chunked_forward), ("forward and backward", plain_backward, chunked_backward)]


def _agree(one: Results, other: Results) -> bool:
    return all(float((a - b).abs().max()) <= TOLERANCE for a, b in zip(one, other, strict=True))
