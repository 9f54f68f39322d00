"""What computes: a model that is sampled from and trained in place, by our own forward pass or by transformers'."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from pipelines.config import LoraSettings
from pipelines.policies.local.adapters import Adapter
from pipelines.policies.local.architectures import computes_natively
from pipelines.policies.local.config import LocalPolicyConfig
from pipelines.policies.local.sampling import Sampled
from pipelines.policies.local.tokenizer import is_stand_in
from pipelines.protocols import GenerationRequest


class Decoder(Protocol):
    """Generates for the episodes of one rollout under fixed weights."""

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Sampled]:
        """One turn for every request (distinct episodes)."""
        ...


class Engine(Protocol):
    """``version`` counts the changes of the model: whoever changes it says so. ``adapter``: what is trained in place of the
    model's own weights, if it is."""

    version: int
    adapter: Adapter | None

    @property
    def named(self) -> Mapping[str, nn.Parameter]:
        """What is trained, float32, by its name in a checkpoint."""
        ...

    @property
    def context_length(self) -> int: ...

    @property
    def vocabulary(self) -> int:
        """Rows of the output matrix."""
        ...

    @property
    def device(self) -> torch.device: ...

    def decoder(self, episodes: int, ends: Collection[int]) -> Decoder: ...

    def hidden(self, tokens: torch.Tensor, lengths: Sequence[int], places: torch.Tensor) -> torch.Tensor:
        """Final hidden states [M, D] at ``places`` int64[M] of sequences laid end to end, tokens int64[N] of ``lengths``.
        Differentiable in ``named``."""
        ...

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[T, V] of hidden states [T, D]."""
        ...

    def logprobs(
        self, hidden: torch.Tensor, tokens: torch.Tensor, *, temperature: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probs of the tokens int64[T] and exact entropies, float32[T], in chunks: [T, V] is never there at once."""
        ...

    def without_adapter(self) -> Engine:
        """The frozen model alone, which shares its weights with this one."""
        ...

    def save(self, start: Path, out: Path) -> None:
        """The model as a Hugging Face folder ``out``, its weights in float32 with an adapter merged into them, beside everything else
        that the folder ``start`` holds."""
        ...

    def load(self, folder: Path) -> None:
        """Take over the weights that ``save`` wrote; of a model with an adapter they are its own to keep.

        Raises:
            MissingCheckpoint: a file is absent or damaged, or of another model.
        """
        ...


def device_of(settings: LocalPolicyConfig, folder: Path) -> str:
    """What ``settings.device`` means here: cpu or cuda. A stand-in is faster on a CPU, and has the same bits on any."""
    if settings.device != "auto":
        return settings.device
    return "cuda" if torch.cuda.is_available() and not is_stand_in(folder) else "cpu"


def open_engine(
    folder: Path, settings: LocalPolicyConfig, *, frozen: bool = False, adapter: LoraSettings | None = None
) -> Engine:
    """The folder's model by the engine that the settings ask for. ``frozen``: nothing of it is trained. ``adapter``: it is
    trained, and the model itself frozen.

    Raises:
        MissingCheckpoint: a file is absent or damaged. ConfigError: the engine does not compute this model.
    """
    if computes_natively(folder, settings.engine):
        from pipelines.policies.local.native import NativeEngine

        return NativeEngine(folder, settings, frozen=frozen, adapter=adapter)
    from pipelines.policies.local.hosted import HostedEngine

    return HostedEngine(folder, settings, frozen=frozen, adapter=adapter)
