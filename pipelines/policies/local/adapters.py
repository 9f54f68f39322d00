"""LoRA: a frozen projection W gets a trained change α/r · B A of rank r, whose B begins at zero.

The change is computed beside the projection, in sampling and in training alike; nothing is merged while a run goes on, and the frozen
model without the change is the reference of the KL loss. On disk it is PEFT's format (``lora_files``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from pipelines.config import LoraSettings
from pipelines.policies import lora_files
from pipelines.policies.local.linear import linear


@dataclass(frozen=True)
class LowRank:
    """x [..., D] → scale · x Aᵀ Bᵀ [..., O], in x's dtype; ``a`` float32 [r, D], ``b`` float32 [O, r]."""

    a: torch.Tensor
    b: torch.Tensor
    scale: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return linear(linear(x, self.a.to(x.dtype)), self.b.to(x.dtype)) * self.scale

    def merged(self, weight: torch.Tensor) -> torch.Tensor:
        """float32 [O, D]: a projection with the change."""
        return lora_files.merged(weight, self.a, self.b, self.scale)


class Adapter:
    """The changes of a model's projections, by the names of their modules. ``named``: what is trained, by its name in PEFT's file."""

    def __init__(self, settings: LoraSettings, modules: Mapping[str, torch.Size], device: torch.device) -> None:
        """``modules``: the shapes [O, D] of all projections that could be changed.

        Raises:
            ConfigError: a target is none of them.
        """
        self._settings, self._modules = settings, lora_files.chosen(settings, modules)
        tensors = lora_files.initial(settings, {name: modules[name] for name in self._modules})
        self.named: Mapping[str, nn.Parameter] = {name: nn.Parameter(x.to(device)) for name, x in tensors.items()}

    def changes(self) -> Iterator[tuple[str, LowRank]]:
        """Every module that is changed, with its change; differentiable in ``named``."""
        scale = self._settings.alpha / self._settings.rank
        for name in self._modules:
            a, b = (self.named[lora_files.tensor_name(name, which)] for which in "AB")
            yield name, LowRank(a, b, scale)

    def save(self, folder: Path) -> None:
        """PEFT's two files; the same state, same bytes."""
        lora_files.write(folder, self._settings, {name: p.detach() for name, p in self.named.items()})

    def load(self, folder: Path) -> None:
        """Take over what ``save`` wrote.

        Raises:
            MissingCheckpoint: the file is absent or damaged, or of another model or rank.
        """
        tensors = lora_files.read(folder, self.named)
        with torch.no_grad():
            for name, parameter in self.named.items():
                parameter.copy_(tensors[name])
