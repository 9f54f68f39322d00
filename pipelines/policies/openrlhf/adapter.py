"""LoRA in OpenRLHF's actor: PEFT's layers inside the model, whose own weights stay as they are and are the KL loss's reference.

Below ZeRO-3 alone, where every rank has whole matrices.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, TaskType, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

from pipelines.config import LoraSettings
from pipelines.policies import lora_files

_NAME = "default"  # PEFT's, of a model's only adapter
_INSIDE = ".base_layer"  # PEFT's, in the name of a weight that has a change beside it


class Adapter:
    """Of a model of transformers, which from now on trains nothing else. The same beginning as ``policy=local``'s."""

    def __init__(self, model: Any, settings: LoraSettings) -> None:
        """Raises ConfigError: a target is no projection of the model. Its output matrix is none: nobody reads it through a layer."""
        self._model, self._settings = model, settings
        linears = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
        names = lora_files.chosen(settings, (n for n, m in linears.items() if m is not model.get_output_embeddings()))
        first = lora_files.initial(settings, {name: linears[name].weight.shape for name in names})
        how = LoraConfig(
            task_type=TaskType.CAUSAL_LM, r=settings.rank, lora_alpha=settings.alpha, lora_dropout=0.0, bias="none",
            target_modules=names,
        )  # fmt: skip
        inject_adapter_in_model(how, model)
        self._layers = {name: m for name, m in model.named_modules() if isinstance(m, LoraLayer)}
        with torch.no_grad():
            for name, parameter in self.named.items():
                parameter.copy_(first[name])

    @property
    def named(self) -> dict[str, nn.Parameter]:
        """What is trained, by its name in PEFT's file."""
        factors = {
            lora_files.tensor_name(name, which): getattr(layer, f"lora_{which}")[_NAME].weight
            for name, layer in self._layers.items()
            for which in "AB"
        }
        return dict(sorted(factors.items()))

    @contextmanager
    def off(self) -> Iterator[None]:
        """The model as it was before all training."""
        for layer in self._layers.values():
            layer.enable_adapters(False)
        try:
            yield
        finally:
            for layer in self._layers.values():
                layer.enable_adapters(True)

    def merged(self) -> Iterator[tuple[str, Any]]:
        """The model's own names with its weights; where there is a change, with that in them, made when ``data`` is asked for."""
        factors = {id(p) for p in self.named.values()}
        changed = {id(layer.get_base_layer().weight): layer for layer in self._layers.values()}
        for name, parameter in self._model.named_parameters():
            if id(parameter) not in factors:
                layer = changed.get(id(parameter))
                yield name.replace(_INSIDE, ""), parameter if layer is None else Merged(layer)

    def save(self, folder: Path) -> None:
        """PEFT's two files, in float32."""
        lora_files.write(folder, self._settings, {name: p.detach().float().cpu() for name, p in self.named.items()})

    def check(self, folder: Path) -> None:
        """Raises MissingCheckpoint: its files are absent or damaged, or of another model or rank."""
        lora_files.read(folder, self.named)


@dataclass(frozen=True)
class Merged:
    """In the place of a parameter: a projection with its change."""

    layer: Any
    requires_grad = True

    @property
    def dtype(self) -> torch.dtype:
        return self._weight.dtype

    @property
    def shape(self) -> torch.Size:
        return self._weight.shape

    @property
    def data(self) -> torch.Tensor:
        a, b = (getattr(self.layer, f"lora_{which}")[_NAME].weight.detach() for which in "AB")
        return lora_files.merged(self._weight, a, b, self.layer.scaling[_NAME]).to(self.dtype)

    @property
    def _weight(self) -> torch.Tensor:
        weight: torch.Tensor = self.layer.get_base_layer().weight.detach()
        return weight
