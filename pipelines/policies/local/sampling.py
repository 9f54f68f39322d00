"""Tokens drawn from logits: every one a function of its logits and of its request's own dice, whoever shares its batch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pipelines.protocols import GenerationRequest


@dataclass(frozen=True, eq=False)
class Sampled:
    """int32[m] ids, float32[m] log-probs, entropies, and squared norms of the score, 1 − 2π + Σπ² (``empg.squared_score_norm``)."""

    ids: np.ndarray
    logprobs: np.ndarray
    entropies: np.ndarray
    squared_scores: np.ndarray


class Turn:
    """What is drawn for the requests of one turn, of at most ``most`` tokens each, until one of the tokens ``ends``."""

    def __init__(self, requests: Sequence[GenerationRequest], ends: Collection[int], device: torch.device) -> None:
        self.most = max(r.sampling.max_tokens for r in requests)
        self._dice = torch.from_numpy(np.stack([_dice(r.seed, self.most) for r in requests])).to(device)
        temperatures = {r.sampling.temperature for r in requests}
        self._as_it_is = temperatures == {1.0}  # then nothing is divided, and no maximum is searched
        self._temperatures = torch.tensor([r.sampling.temperature for r in requests], device=device)
        self._budgets = torch.tensor([r.sampling.max_tokens for r in requests], device=device)
        self._ends = torch.tensor(sorted(ends), device=device)
        self._ids = torch.zeros(len(requests), self.most, dtype=torch.int64, device=device)
        self._numbers = torch.zeros(3, len(requests), self.most, device=device)  # what ``_sample`` says of each token
        self.counts = torch.zeros(len(requests), dtype=torch.int64, device=device)

    def draw(
        self, step: int, logits: torch.Tensor, order: torch.Tensor, going: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ``step`` of the requests ``order`` int64[R], from logits float32 [R, V]; kept where ``going`` bool[R]. Returns the
        tokens int64[R], and which rows go on."""
        temperature = None if self._as_it_is else self._temperatures[order]
        token, numbers = _sample(logits, self._dice[order, step], temperature)
        at = order[going]
        self._ids[at, step], self.counts[at] = token[going], step + 1
        self._numbers[:, at, step] = numbers[:, going]
        return token, going & ~torch.isin(token, self._ends) & (self._budgets[order] > step + 1)

    def sampled(self) -> list[Sampled]:
        """By request."""
        ids, numbers = self._ids.cpu().numpy(), self._numbers.cpu().numpy()
        return [
            Sampled(ids[i, :n].astype(np.int32), *(of_all[i, :n].copy() for of_all in numbers))
            for i, n in enumerate(self.counts.tolist())
        ]


def _sample(
    logits: torch.Tensor, dice: torch.Tensor, temperature: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inverse-CDF sampling: the token of each row, and float32 [3, R] its log-prob, exact entropy and squared score. ``temperature``:
    of each row; None: 1."""
    tempered = logits if temperature is None else logits / torch.where(temperature == 0, 1.0, temperature)[:, None]
    logp = tempered.log_softmax(-1)
    p = logp.exp()
    entropy = -torch.linalg.vecdot(p, logp)
    cdf = p.cumsum(-1, dtype=torch.float64)
    token = torch.searchsorted(cdf, dice[:, None] * cdf[:, -1:], right=True).squeeze(1)
    token = token.clamp_(max=logits.shape[1] - 1)
    if temperature is not None:
        token = torch.where(temperature == 0, logits.argmax(-1), token)
    chosen = logp.gather(1, token[:, None]).squeeze(1)
    return token, torch.stack([chosen, entropy, 1.0 - 2.0 * chosen.exp() + torch.linalg.vecdot(p, p)])


def _dice(seed: int, count: int) -> np.ndarray:
    """float64[count] in [0, 1): a counter-based generator keyed by the seed."""
    return np.random.Generator(np.random.Philox(key=seed)).random(count)
