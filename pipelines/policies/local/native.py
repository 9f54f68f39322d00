"""The engine of our own: the fast forward pass over a folder's parameters."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from pathlib import Path

import torch
from torch import nn

from empg import logprobs_and_entropy
from pipelines.config import LoraSettings
from pipelines.policies.local.adapters import Adapter
from pipelines.policies.local.config import LocalPolicyConfig
from pipelines.policies.local.decoding import CachedDecoder
from pipelines.policies.local.engine import device_of
from pipelines.policies.local.linear import linear
from pipelines.policies.local.parameters import load_model, save_model, take_over
from pipelines.policies.local.transformer import Weights, forward, packed, packed_positions, weights_of


class NativeEngine:
    """See ``engine.Engine``."""

    def __init__(
        self, folder: Path, settings: LocalPolicyConfig, *, frozen: bool = False, adapter: LoraSettings | None = None
    ) -> None:
        self._settings = settings
        frozen, dtype = frozen or adapter is not None, getattr(torch, settings.dtype)
        self._model = load_model(folder, dtype, frozen=frozen, device=device_of(settings, folder))
        self.adapter = Adapter(adapter, self._model.projections, self._model.device) if adapter else None

    def without_adapter(self) -> NativeEngine:
        bare = copy(self)
        bare.adapter = None
        return bare

    @property
    def named(self) -> Mapping[str, nn.Parameter]:
        return self._model.named if self.adapter is None else self.adapter.named

    @property
    def version(self) -> int:
        return self._model.version

    @version.setter
    def version(self, value: int) -> None:
        self._model.version = value

    @property
    def context_length(self) -> int:
        return self._model.shape.context_length

    @property
    def vocabulary(self) -> int:
        return len(self._model.lm_head)

    @property
    def device(self) -> torch.device:
        return self._model.device

    def decoder(self, episodes: int, ends: Collection[int]) -> CachedDecoder:
        with torch.inference_mode():
            return CachedDecoder(self._weights(), episodes, ends)

    def hidden(self, tokens: torch.Tensor, lengths: Sequence[int], places: torch.Tensor) -> torch.Tensor:
        recompute = self._settings.checkpoint_activations and torch.is_grad_enabled()
        positions = packed_positions(lengths).to(tokens.device)
        return forward(self._weights(), tokens[None], positions, packed(lengths), places=places, recompute=recompute)

    def _weights(self) -> Weights:
        return weights_of(self._model, dict(self.adapter.changes()) if self.adapter else {})

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return linear(hidden, self._model.lm_head)

    def logprobs(
        self, hidden: torch.Tensor, tokens: torch.Tensor, *, temperature: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        chunk = self._settings.logits_chunk_tokens
        return logprobs_and_entropy(hidden, self._model.lm_head, tokens, temperature=temperature, chunk_size=chunk)

    def save(self, start: Path, out: Path) -> None:
        tensors = {name: p.detach() for name, p in self._model.named.items()}  # tied weights stand once
        for name, change in self.adapter.changes() if self.adapter else ():
            tensors[f"{name}.weight"] = change.merged(tensors[f"{name}.weight"]).detach()
        save_model(tensors, start, out)

    def load(self, folder: Path) -> None:
        take_over(self._model, folder)
