"""Batched generation with the key-value cache kept across the turns of an episode.

One cache row per episode. A turn prefills only what the row's cache does not hold yet (rows of like length together,
padded on the right), then decodes until every row has ended. The rows that are decoded are the first of the cache, so
that attention reads them where they are: rows that end are swapped behind those that go on. Log-probs and exact
entropies come from the very logits that were sampled from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pipelines.policies.local.linear import linear
from pipelines.policies.local.transformer import Weights, forward
from pipelines.protocols import GenerationRequest

_GROW = 128  # cache positions are added in steps of this
_PREFILL_TOKENS = 512  # of rows prefilled together, padding included
_IDLE = 0.2  # of the rows that are decoded may have ended


@dataclass(frozen=True, eq=False)
class Sampled:
    """int32[m] ids, float32[m] log-probs and entropies."""

    ids: np.ndarray
    logprobs: np.ndarray
    entropies: np.ndarray


class Decoder:
    """Generates for the episodes of one rollout under fixed weights, until one of the tokens ``ends``."""

    def __init__(self, weights: Weights, episodes: int, ends: Collection[int]) -> None:
        self._w, self._ends = weights, torch.tensor(sorted(ends))
        self._held: dict[int, list[int]] = {episode: [] for episode in range(episodes)}  # tokens in its cache row
        self._episodes = np.arange(episodes)  # of each cache row
        shape = (len(weights.layers), episodes, weights.kv_heads, _GROW, weights.head_dim)
        self._keys, self._values = torch.zeros(shape), torch.zeros(shape)

    @torch.inference_mode()
    def generate(self, requests: Sequence[GenerationRequest]) -> list[Sampled]:
        """One turn for every request (distinct episodes)."""
        longest = max(len(r.context_ids) + r.sampling.max_tokens for r in requests)
        self._grow(min(longest, len(self._w.cos)))
        place = {request.episode: i for i, request in enumerate(requests)}
        self._bring_forward(np.isin(self._episodes, list(place)))
        order = [place[episode] for episode in self._episodes[: len(requests)].tolist()]  # requests by cache row
        rows = [requests[i] for i in order]
        sampled = dict(zip(order, self._decode(rows, *self._prefill(rows)), strict=True))
        return [sampled[i] for i in range(len(requests))]

    # ------------------------------------------------------------------------------------------------------- prefill

    def _prefill(self, requests: Sequence[GenerationRequest]) -> tuple[torch.Tensor, torch.Tensor]:
        """Bring every row's cache up to its context; hidden states [B, D] of the last tokens, and context lengths."""
        starts = [_reusable(self._held[request.episode], request.context_ids) for request in requests]
        fresh = [request.context_ids[start:] for request, start in zip(requests, starts, strict=True)]
        hidden = torch.empty(len(fresh), self._w.embedding.shape[1])
        for rows in _alike([len(ids) for ids in fresh]):
            width = len(fresh[rows[-1]])
            tokens = torch.zeros(len(rows), width, dtype=torch.int64)
            for i, row in enumerate(rows):
                tokens[i, : len(fresh[row])] = torch.tensor(fresh[row])
            start = torch.tensor([starts[row] for row in rows])
            positions = (start[:, None] + torch.arange(width)).clamp(max=len(self._w.cos) - 1)
            last = torch.tensor([len(fresh[row]) - 1 for row in rows])
            hidden[rows] = self._run(tokens, positions, torch.tensor(rows))[torch.arange(len(rows)), last]
        for request in requests:
            self._held[request.episode] = list(request.context_ids)
        return hidden, torch.tensor([len(request.context_ids) for request in requests])

    def _run(self, tokens: torch.Tensor, positions: torch.Tensor, rows: torch.Tensor | slice) -> torch.Tensor:
        """Forward with the cache ``rows``: write keys and values at ``positions``, look at all positions up to one's
        own. A slice of rows is read where it lies, others are copied.

        What padding writes lies behind the row's end: it is never looked at, and overwritten by what comes there.
        """
        w = self._w
        seen = int(positions.max()) + 1
        self._grow(seen)
        batch, length = tokens.shape
        hidden_keys = torch.arange(seen) > positions[:, :, None]  # [B, P, seen]
        mask = torch.zeros(batch, 1, 1, length, seen).masked_fill_(hidden_keys[:, None, None], float("-inf"))
        groups, scale = w.heads // w.kv_heads, w.head_dim**-0.5
        written = (torch.arange(batch) if isinstance(rows, slice) else rows)[:, None]

        def attend(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            keys, values = self._keys[layer], self._values[layer]
            keys[written, :, positions] = k.transpose(1, 2)
            values[written, :, positions] = v.transpose(1, 2)
            keys, values = keys[rows, :, :seen], values[rows, :, :seen]
            grouped = (q * scale).reshape(batch, w.kv_heads, groups * length, w.head_dim)
            scores = (grouped @ keys.transpose(-1, -2)).view(batch, w.kv_heads, groups, length, seen)
            weights = (scores + mask).softmax(-1).view(batch, w.kv_heads, groups * length, seen)
            mixed: torch.Tensor = (weights @ values).view(batch, w.heads, length, w.head_dim)
            return mixed

        return forward(w, tokens, positions, attend)

    # -------------------------------------------------------------------------------------------------------- decode

    def _decode(
        self, requests: Sequence[GenerationRequest], hidden: torch.Tensor, lengths: torch.Tensor
    ) -> list[Sampled]:
        """``requests``: of the first cache rows, in their order."""
        most = max(r.sampling.max_tokens for r in requests)
        uniforms = torch.from_numpy(np.stack([_uniforms(r.seed, most) for r in requests]))
        temperatures = torch.tensor([r.sampling.temperature for r in requests])
        budgets = torch.tensor([r.sampling.max_tokens for r in requests])
        ids, logprobs, entropies = (
            torch.zeros(len(requests), most, dtype=t) for t in (torch.int64, torch.float32, torch.float32)
        )
        counts = torch.zeros(len(requests), dtype=torch.int64)
        order = torch.arange(len(requests))  # the request of each row that is decoded
        going = torch.ones(len(requests), dtype=torch.bool)  # of those rows: has not ended
        for step in range(most):
            token, logprob, entropy = self._sample(hidden, uniforms[order, step], temperatures[order])
            at = order[going]
            ids[at, step], logprobs[at, step], entropies[at, step] = token[going], logprob[going], entropy[going]
            counts[at] = step + 1
            going = going & ~torch.isin(token, self._ends) & (budgets[order] > step + 1)
            left = int(going.sum())
            if not left:
                break
            if left < (1 - _IDLE) * len(order):
                moved = self._bring_forward(going.numpy())
                order, token, going = order[moved][:left], token[moved][:left], going[moved][:left]
            # A row that has ended writes, again and again, to the place behind its end.
            positions = (lengths[order] + counts[order] - 1)[:, None]
            hidden = self._run(token[:, None], positions, slice(len(order)))[:, 0]
        return self._sampled(requests, ids.numpy(), logprobs.numpy(), entropies.numpy(), counts.tolist())

    def _sample(
        self, hidden: torch.Tensor, uniform: torch.Tensor, temperature: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Inverse-CDF sampling: the token is a function of the logits and the uniform number."""
        logits = linear(hidden, self._w.lm_head)
        greedy = temperature == 0
        logp = (logits / torch.where(greedy, 1.0, temperature)[:, None]).log_softmax(-1)
        p = logp.exp()
        entropy = -torch.linalg.vecdot(p, logp)
        cdf = p.double().cumsum(-1)
        token = torch.searchsorted(cdf, uniform[:, None] * cdf[:, -1:], right=True).squeeze(1)
        token = torch.where(greedy, logits.argmax(-1), token.clamp(max=logits.shape[1] - 1))
        return token, logp.gather(1, token[:, None]).squeeze(1), entropy

    def _sampled(
        self,
        requests: Sequence[GenerationRequest],
        ids: np.ndarray,
        logprobs: np.ndarray,
        entropies: np.ndarray,
        counts: list[int],
    ) -> list[Sampled]:
        results = []
        for i, (request, n) in enumerate(zip(requests, counts, strict=True)):
            # The last sampled token was not run: its keys are not in the cache.
            self._held[request.episode] += ids[i, : n - 1].tolist()
            results.append(Sampled(ids[i, :n].astype(np.int32), logprobs[i, :n].copy(), entropies[i, :n].copy()))
        return results

    # --------------------------------------------------------------------------------------------------------- cache

    def _grow(self, positions: int) -> None:
        held = self._keys.shape[3]
        if positions > held:
            more = list(self._keys.shape)
            more[3] = -(-(positions - held) // _GROW) * _GROW
            self._keys = torch.cat([self._keys, torch.zeros(more)], 3)
            self._values = torch.cat([self._values, torch.zeros(more)], 3)

    def _bring_forward(self, wanted: np.ndarray) -> np.ndarray:
        """Swap cache rows such that the ``wanted`` ones, bool of the first so many rows, lie before the others. Returns
        int64 of as many: which row lies there now."""
        count = int(wanted.sum())
        leaving, coming = np.flatnonzero(~wanted[:count]), count + np.flatnonzero(wanted[count:])
        moved = np.arange(len(wanted))
        moved[leaving], moved[coming] = coming, leaving
        if len(leaving):
            places, sources = np.concatenate([leaving, coming]), np.concatenate([coming, leaving])
            for cache in (self._keys, self._values):
                cache[:, places] = cache[:, sources]
            self._episodes[places] = self._episodes[sources]
        return moved


def _reusable(held: Sequence[int], context: Sequence[int]) -> int:
    """How many of a context's tokens need not be run: those its row holds, but the last, whose hidden state is needed.
    The usual case, all that is held begins the context, is one comparison."""
    n = min(len(held), len(context) - 1)
    if tuple(held[:n]) == tuple(context[:n]):
        return n
    return next(i for i in range(n) if held[i] != context[i])


def _alike(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows of like length, shortest first, cut so that padded they hold ≤ ``_PREFILL_TOKENS`` (a longer row goes
    alone)."""
    part: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: (lengths[row], row)):
        if part and (len(part) + 1) * lengths[row] > _PREFILL_TOKENS:
            yield part
            part = []
        part.append(row)
    yield part


def _uniforms(seed: int, count: int) -> np.ndarray:
    """float64[count] in [0, 1): a counter-based generator keyed by the seed."""
    return np.random.Generator(np.random.Philox(key=seed)).random(count)
