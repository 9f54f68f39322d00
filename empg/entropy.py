"""Log-prob and exact entropy of the chosen tokens, chunked over tokens: [T, V] never exists twice.

H = lse − Σ_v π_v·z_v is exact over the full vocabulary. All chunks share two buffers, which logits, softmax, entropy and
gradient overwrite in place; the backward pass recomputes the logits from (hidden, output matrix) instead of keeping
them.
"""

from __future__ import annotations

from typing import Any

import torch

from empg.checks import all_finite, require_finite

_CHUNK_BYTES = 48 << 20  # of float32 logits per chunk; 16 and 24 MiB are slower, 32 lets glibc's heap fragment
_MASKED = -1e30  # stands for −inf: exp(_MASKED − top) = 0, and π·log π = 0·_MASKED = 0 where 0·(−inf) would be NaN


def chunk_rows(vocabulary: int) -> int:
    """Tokens per chunk such that a chunk of float32 logits takes about 48 MiB."""
    return max(1, _CHUNK_BYTES // (4 * vocabulary))


def logprobs_and_entropy(
    hidden: torch.Tensor,
    lm_head: torch.Tensor,
    tokens: torch.Tensor,
    *,
    temperature: float = 1.0,
    chunk_size: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-prob of ``tokens`` and entropy of softmax(hidden @ lm_headᵀ / temperature), both float32 or float64 [T].

    Args:
        hidden: [T, D]; lm_head: [V, D], same dtype; tokens: int[T]. Differentiable in hidden and lm_head, through both
            results. bfloat16 and float16 inputs: reductions in float32.

    Raises:
        ValueError: shapes or dtypes do not fit, a token is not in the vocabulary, temperature or chunk_size is not positive, or
            hidden, lm_head or their product is not finite.
    """
    if hidden.ndim != 2 or lm_head.ndim != 2 or hidden.shape[1] != lm_head.shape[1] or tokens.shape != hidden.shape[:1]:
        raise ValueError(f"hidden {list(hidden.shape)}, lm_head {list(lm_head.shape)}, tokens {list(tokens.shape)}")
    if hidden.dtype != lm_head.dtype:
        raise ValueError(f"hidden is {hidden.dtype} and lm_head {lm_head.dtype}: give both the same dtype")
    chosen, rows = _checked(tokens, lm_head.shape[0], temperature, chunk_size)
    logprobs, entropy = _Chunked.apply(hidden, lm_head, chosen, temperature, rows)
    if not all_finite(logprobs, entropy):
        require_finite(hidden=hidden, lm_head=lm_head, logprobs=logprobs, entropy=entropy)
    return logprobs, entropy


def logprobs_and_entropy_from_logits(
    logits: torch.Tensor, tokens: torch.Tensor, *, temperature: float = 1.0, chunk_size: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same from logits [..., V] and tokens int[...]: both results [...]. Differentiable in logits; the backward
    pass writes one gradient of the logits' size and nothing else of it. A logit of −inf masks its entry: π = 0, which
    adds nothing to the entropy and has gradient 0.

    Raises:
        ValueError: shapes do not fit, a token is not in the vocabulary, temperature or chunk_size is not positive, a logit is
            NaN or +inf, or a token's own is −inf.
    """
    if logits.ndim == 0 or tokens.shape != logits.shape[:-1]:
        raise ValueError(f"logits {list(logits.shape)}, tokens {list(tokens.shape)}")
    chosen, rows = _checked(tokens, logits.shape[-1], temperature, chunk_size)
    flat = logits.reshape(-1, logits.shape[-1])
    logprobs, entropy = _ChunkedLogits.apply(flat, chosen.reshape(-1), temperature, rows)
    of_tokens = logits.detach().gather(-1, chosen.unsqueeze(-1)).squeeze(-1)
    if not all_finite(logprobs, entropy, of_tokens):  # NaN and +inf show in their row's results, −inf is the tokens'
        require_finite(logits=torch.where(torch.isneginf(logits), 0.0, logits))
        masked = torch.isneginf(of_tokens)
        if masked.any():
            place = [*masked.nonzero()[0].tolist(), int(chosen[masked][0])]
            raise ValueError(f"logits masks a chosen token: logits{place} = -inf")
        require_finite(logprobs=logprobs, entropy=entropy)
    return logprobs.reshape(tokens.shape), entropy.reshape(tokens.shape)


def _checked(
    tokens: torch.Tensor, vocabulary: int, temperature: float, chunk_size: int | None
) -> tuple[torch.Tensor, int]:
    """The tokens as int64, and how many make a chunk.

    On a GPU too, where asking for ``outside`` waits for what was computed before: a call that gathers out of range there ends
    every later call of the process, and this function waits once more at its end in any case.
    """
    if temperature <= 0:
        raise ValueError(f"temperature = {temperature} must be positive")
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size = {chunk_size} must be positive, or None")
    if vocabulary == 0:
        raise ValueError("the vocabulary is empty: logits or lm_head have no entry to choose from")
    if tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool:
        raise ValueError(f"tokens is {tokens.dtype}: give integers, the ids of the chosen entries")
    chosen = tokens.long()
    outside = (chosen < 0) | (chosen >= vocabulary)
    if outside.any():
        at = outside.nonzero()[0].tolist()
        raise ValueError(f"tokens{at} = {int(chosen[tuple(at)])} is out of [0, {vocabulary}), the vocabulary")
    return chosen, chunk_size or chunk_rows(vocabulary)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


class _Buffers:
    """Room for the logits of a chunk and for as many numbers again: ``z`` and ``spare``, [C, V]."""

    def __init__(self, like: torch.Tensor, rows: int, vocabulary: int) -> None:
        rows = min(rows, len(like))
        self._z, self._spare = (
            torch.empty(rows, vocabulary, dtype=_wide(like.dtype), device=like.device) for _ in range(2)
        )

    def of_product(
        self, hidden: torch.Tensor, lm_head: torch.Tensor, temperature: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        z, spare = self._z[: len(hidden)], self._spare[: len(hidden)]
        if hidden.dtype == z.dtype:
            torch.mm(hidden, lm_head.t(), out=z)
        else:
            z.copy_(hidden @ lm_head.t())
        return z.div_(temperature) if temperature != 1.0 else z, spare

    def of_logits(self, logits: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
        """A copy, for the caller's logits stay, with ``_MASKED`` for −inf; where dtypes agree, in one pass."""
        z = self._z[: len(logits)]
        if logits.dtype == z.dtype:
            torch.clamp(logits, min=_MASKED, out=z)
        else:
            z.copy_(logits).clamp_(min=_MASKED)
        return z.div_(temperature) if temperature != 1.0 else z, self._spare[: len(logits)]


def _reduce(z: torch.Tensor, spare: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Overwrites logits z [C, V] and spare. Returns log-probs, entropies, and log-sum-exp, each [C]."""
    chosen = z.gather(1, tokens[:, None]).squeeze(1)
    top = z.amax(1)
    z.sub_(top[:, None])
    weights = torch.exp(z, out=spare)
    total = weights.sum(1)
    mean = torch.linalg.vecdot(weights, z) / total  # Σ π (z − top)
    log_total = total.log()
    return chosen - top - log_total, log_total - mean, top + log_total


def _logit_gradient(
    z: torch.Tensor,
    spare: torch.Tensor,
    tokens: torch.Tensor,
    lse: torch.Tensor,
    entropy: torch.Tensor,
    g_lp: torch.Tensor,
    g_h: torch.Tensor,
) -> torch.Tensor:
    """Overwrites logits z [C, V] with d(g_lp·logp + g_h·H)/dz = g_lp·(1_token − π) − g_h·π·(log π + H)."""
    z.sub_(lse[:, None])  # log π
    pi = torch.exp(z, out=spare)
    z.add_(entropy[:, None]).mul_(-g_h[:, None]).sub_(g_lp[:, None]).mul_(pi)
    return z.scatter_add_(1, tokens[:, None], g_lp[:, None].to(z.dtype))


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, lm_head: torch.Tensor, tokens: torch.Tensor, temperature: float, rows: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        wide = _wide(hidden.dtype)
        logprobs, entropy, lse = (torch.empty(len(tokens), dtype=wide, device=hidden.device) for _ in range(3))
        buffers = _Buffers(hidden, rows, len(lm_head))
        for at in range(0, len(tokens), rows):
            part = slice(at, at + rows)
            z, spare = buffers.of_product(hidden[part], lm_head, temperature)
            logprobs[part], entropy[part], lse[part] = _reduce(z, spare, tokens[part])
        ctx.save_for_backward(hidden, lm_head, tokens, lse, entropy)
        ctx.temperature, ctx.rows = temperature, rows
        return logprobs, entropy

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, lm_head, tokens, lse, entropy = ctx.saved_tensors
        g_lp, g_h = grads
        d_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        d_head = torch.zeros_like(lm_head) if ctx.needs_input_grad[1] else None
        buffers = _Buffers(hidden, ctx.rows, len(lm_head))
        for at in range(0, len(tokens), ctx.rows):
            part = slice(at, at + ctx.rows)
            z, spare = buffers.of_product(hidden[part], lm_head, ctx.temperature)
            dz = _logit_gradient(z, spare, tokens[part], lse[part], entropy[part], g_lp[part], g_h[part])
            if ctx.temperature != 1.0:
                dz.div_(ctx.temperature)
            dz = dz.to(hidden.dtype)
            if d_hidden is not None:
                d_hidden[part] = dz @ lm_head
            if d_head is not None:
                d_head.addmm_(dz.t(), hidden[part])
        return d_hidden, d_head, None, None, None


class _ChunkedLogits(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: torch.Tensor, tokens: torch.Tensor, temperature: float, rows: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        wide = _wide(logits.dtype)
        logprobs, entropy, lse = (torch.empty(len(tokens), dtype=wide, device=logits.device) for _ in range(3))
        buffers = _Buffers(logits, rows, logits.shape[1])
        for at in range(0, len(tokens), rows):
            part = slice(at, at + rows)
            z, spare = buffers.of_logits(logits[part], temperature)
            logprobs[part], entropy[part], lse[part] = _reduce(z, spare, tokens[part])
        ctx.save_for_backward(logits, tokens, lse, entropy)
        ctx.temperature, ctx.rows = temperature, rows
        return logprobs, entropy

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        logits, tokens, lse, entropy = ctx.saved_tensors
        g_lp, g_h = grads
        d_logits = torch.empty_like(logits)
        buffers = _Buffers(logits, ctx.rows, logits.shape[1])
        for at in range(0, len(tokens), ctx.rows):
            part = slice(at, at + ctx.rows)
            z, spare = buffers.of_logits(logits[part], ctx.temperature)
            dz = _logit_gradient(z, spare, tokens[part], lse[part], entropy[part], g_lp[part], g_h[part])
            d_logits[part] = dz.div_(ctx.temperature)
        return d_logits, None, None, None
