"""Batched generation with the key-value cache kept across the turns of an episode.

One cache row per episode. A turn prefills only what the row's cache does not hold yet (rows of like length together,
padded on the right), then decodes until every row has ended. The rows that are decoded are the first of the cache, so
that attention reads them where they are: rows that end are swapped behind those that go on. Log-probs and exact
entropies come from the very logits that were sampled from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from pipelines.policies.local.linear import linear
from pipelines.policies.local.sampling import Sampled, Turn
from pipelines.policies.local.transformer import Weights, forward
from pipelines.protocols import GenerationRequest

_GROW = 128  # cache positions are added in steps of this
_PREFILL_TOKENS = 512  # of rows prefilled together, padding included
_IDLE = 0.2  # of the rows that are decoded may have ended


class CachedDecoder:
    """Generates for the episodes of one rollout under fixed weights, until one of the tokens ``ends``."""

    def __init__(self, weights: Weights, episodes: int, ends: Collection[int]) -> None:
        self._w, self._ends, self._device = weights, ends, weights.embedding.device
        self._held: dict[int, list[int]] = {episode: [] for episode in range(episodes)}  # tokens in its cache row
        self._episodes = np.arange(episodes)  # of each cache row
        shape = (len(weights.layers), episodes, weights.kv_heads, 0, weights.head_dim)
        self._keys, self._values = (torch.empty(shape, dtype=weights.dtype, device=self._device) for _ in range(2))

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
        hidden = torch.empty(len(fresh), self._w.embedding.shape[1], dtype=self._w.dtype, device=self._device)
        sources = _sources(requests, starts)
        run = [row for row, source in enumerate(sources) if row == source]
        for part in _alike([len(fresh[row]) for row in run]):
            rows = [run[i] for i in part]
            width = len(fresh[rows[-1]])
            tokens = torch.zeros(len(rows), width, dtype=torch.int64)
            for i, row in enumerate(rows):
                tokens[i, : len(fresh[row])] = torch.tensor(fresh[row])
            start = torch.tensor([starts[row] for row in rows])
            positions = (start[:, None] + torch.arange(width)).clamp(max=len(self._w.cos) - 1)
            last = torch.tensor([i * width + len(fresh[row]) - 1 for i, row in enumerate(rows)])
            hidden[rows] = self._run(*(x.to(self._device) for x in (tokens, positions, torch.tensor(rows), last)))
        self._copy(sources, hidden)
        for request in requests:
            self._held[request.episode] = list(request.context_ids)
        return hidden, torch.tensor([len(request.context_ids) for request in requests], device=self._device)

    def _copy(self, sources: Sequence[int], hidden: torch.Tensor) -> None:
        """Give the rows that were not run what was run for them."""
        copies = [row for row, source in enumerate(sources) if row != source]
        if copies:
            of = [sources[row] for row in copies]
            hidden[copies] = hidden[of]
            self._move(copies, of)

    def _run(
        self,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        rows: torch.Tensor | slice,
        places: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Forward with the cache ``rows``: write keys and values at ``positions``, look at all positions up to one's
        own. A slice of rows is read where it lies, others are copied. Hidden states as ``forward`` returns them.

        What padding writes lies behind the row's end: it is never looked at, and overwritten by what comes there.
        """
        w = self._w
        seen = int(positions.max()) + 1
        self._grow(seen)
        batch, length = tokens.shape
        grouped = (batch, w.kv_heads, w.heads // w.kv_heads * length, w.head_dim)  # queries that share their keys
        hidden_keys = torch.arange(seen, device=self._device) > positions[:, :, None]  # [B, P, seen]
        mask = torch.zeros(hidden_keys.shape, dtype=w.dtype, device=self._device)
        mask = mask.masked_fill_(hidden_keys, float("-inf")).repeat(1, w.heads // w.kv_heads, 1)[:, None]
        written = (torch.arange(batch, device=self._device) if isinstance(rows, slice) else rows)[:, None]

        def attend(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            keys, values = self._keys[layer], self._values[layer]
            keys[written, :, positions] = k.transpose(1, 2)
            values[written, :, positions] = v.transpose(1, 2)
            keys, values = (_rows(cache[:, :, :seen], rows) for cache in (keys, values))
            mixed = F.scaled_dot_product_attention(q.reshape(grouped), keys, values, attn_mask=mask)
            return mixed.view(batch, w.heads, length, w.head_dim)

        return forward(w, tokens, positions, attend, places=places)

    # -------------------------------------------------------------------------------------------------------- decode

    def _decode(
        self, requests: Sequence[GenerationRequest], hidden: torch.Tensor, lengths: torch.Tensor
    ) -> list[Sampled]:
        """``requests``: of the first cache rows, in their order."""
        turn = Turn(requests, self._ends, self._device)
        order = torch.arange(len(requests), device=self._device)  # the request of each row that is decoded
        going = torch.ones(len(requests), dtype=torch.bool, device=self._device)  # of those rows: has not ended
        for step in range(turn.most):
            token, going = turn.draw(step, linear(hidden, self._w.lm_head).float(), order, going)
            left = int(going.sum())
            if not left:
                break
            if left < (1 - _IDLE) * len(order):
                moved = torch.from_numpy(self._bring_forward(going.cpu().numpy())).to(self._device)
                order, token, going = order[moved][:left], token[moved][:left], going[moved][:left]
            # A row that has ended writes, again and again, to the place behind its end.
            positions = (lengths[order] + turn.counts[order] - 1)[:, None]
            hidden = self._run(token[:, None], positions, slice(len(order)))
        sampled = turn.sampled()
        for request, drawn in zip(requests, sampled, strict=True):
            # The last sampled token was not run: its keys are not in the cache.
            self._held[request.episode] += drawn.ids[:-1].tolist()
        return sampled

    # --------------------------------------------------------------------------------------------------------- cache

    def _grow(self, positions: int) -> None:
        held = self._keys.shape[3]
        if positions > held:
            shape = list(self._keys.shape)
            shape[3] = -(-positions // _GROW) * _GROW
            self._keys, self._values = (self._widened(cache, shape) for cache in (self._keys, self._values))

    def _widened(self, cache: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
        """The cache with room for more positions. The first time, when a context is known, nothing is held that would be copied. What
        nobody has written is 0: attention takes it times 0, which of whatever lay in memory might be no number."""
        held, wider = cache.shape[3], torch.empty(*shape, dtype=cache.dtype, device=self._device)
        wider[:, :, :, :held] = cache
        wider[:, :, :, held:] = 0
        return wider

    def _bring_forward(self, wanted: np.ndarray) -> np.ndarray:
        """Swap cache rows such that the ``wanted`` ones, bool of the first so many rows, lie before the others. Returns
        int64 of as many: which row lies there now."""
        count = int(wanted.sum())
        leaving, coming = np.flatnonzero(~wanted[:count]), count + np.flatnonzero(wanted[count:])
        moved = np.arange(len(wanted))
        moved[leaving], moved[coming] = coming, leaving
        if len(leaving):
            places, sources = np.concatenate([leaving, coming]), np.concatenate([coming, leaving])
            self._move(places, sources)
            self._episodes[places] = self._episodes[sources]
        return moved

    def _move(self, places: Sequence[int] | np.ndarray, sources: Sequence[int] | np.ndarray) -> None:
        """Give the rows ``places`` what ``sources`` hold. A row of a layer lies in one piece, and whole rows are copied three times as
        fast as what a mixed index chooses."""
        to, of = (torch.as_tensor(rows, device=self._device) for rows in (places, sources))
        for layer in (*self._keys, *self._values):
            layer.index_copy_(0, to, layer.index_select(0, of))


def _rows(cache: torch.Tensor, rows: torch.Tensor | slice) -> torch.Tensor:
    """Of the first dimension: a slice where it lies, others copied."""
    return cache[rows] if isinstance(rows, slice) else cache.index_select(0, rows)


def _reusable(held: Sequence[int], context: Sequence[int]) -> int:
    """How many of a context's tokens need not be run: those its row holds, but the last, whose hidden state is needed.
    The usual case, all that is held begins the context, is one comparison."""
    n = min(len(held), len(context) - 1)
    if tuple(held[:n]) == tuple(context[:n]):
        return n
    return next(i for i in range(n) if held[i] != context[i])


def _sources(requests: Sequence[GenerationRequest], starts: Sequence[int]) -> list[int]:
    """The row that is run for each: itself or, of requests that share a context of which nothing is held, the first of them."""
    first: dict[tuple[int, ...], int] = {}
    return [
        first.setdefault(request.context_ids, row) if request.shared and not start else row
        for row, (request, start) in enumerate(zip(requests, starts, strict=True))
    ]


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
