"""The parameters of a Hugging Face folder without transformers: the forward pass is our own, and importing transformers' model
code costs every process seconds and 270 MB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from pipelines.errors import ConfigError, MissingCheckpoint
from pipelines.policies.local.architectures import PROJECTIONS, DecoderShape, read_shape
from pipelines.policies.local.rope import rotations
from pipelines.policies.model_folder import check_weights, copy_as_float32
from pipelines.weight_files import weight_files

# Projections of the same input are computed together.
JOINED = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
}
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class _Whole:
    """The tensors ``names``, one under the other."""

    names: tuple[str, ...]
    tensor: torch.Tensor
    rows: tuple[int, ...]


class DecoderParameters:
    """Float32 parameters under Hugging Face's names, in the order of the names; tied embeddings stand once. ``version`` counts
    the changes that a learner has made. ``dtype``: what is computed with; another than float32 is a rounded copy of them.
    ``frozen``: nothing is trained, and matrices are held in ``dtype`` alone.

    Those of projections that are computed together are views of one tensor, so that no pass copies them side by side.
    """

    def __init__(
        self, shape: DecoderShape, tensors: Tensors, dtype: torch.dtype = torch.float32, *, frozen: bool = False
    ) -> None:
        """Takes the tensors out of ``tensors``: two copies of a large model would be one too many."""
        self.shape, self.dtype, self.version = shape, dtype, 0
        self._wholes = {name: _take(names, tensors, dtype, frozen) for name, names in _names(shape)}
        views = {
            name: part
            for whole in self._wholes.values()
            for name, part in zip(whole.names, whole.tensor.split(whole.rows), strict=True)
        }
        self.named: Mapping[str, nn.Parameter] = {
            name: nn.Parameter(views[name], requires_grad=not frozen) for name in sorted(views)
        }
        self._rounded: Tensors = {}
        self._rounded_at = 0

    @property
    def device(self) -> torch.device:
        return self.named["model.norm.weight"].device

    @cached_property
    def rotations(self) -> tuple[torch.Tensor, torch.Tensor]:
        """See ``rope.rotations``."""
        cos, sin = rotations(self.shape)
        return cos.to(self.device), sin.to(self.device)

    def __getitem__(self, name: str) -> torch.Tensor:
        """What is computed with, differentiable in the parameters: a tensor by its name, or several under each other by theirs, as
        ``model.layers.0.qkv.weight``."""
        parameters = [self.named[part] for part in self._wholes[name].names]
        whole = self._round(name)
        if len(parameters) == 1 and whole.dtype == parameters[0].dtype:
            return parameters[0]
        computed: torch.Tensor = _Computed.apply(whole, *parameters)  # type: ignore[no-untyped-call]
        return computed

    @property
    def projections(self) -> dict[str, torch.Size]:
        """The shapes [O, D] of the layers' projections, by the names of their modules."""
        ends = tuple(f"{name}.weight" for name in PROJECTIONS)
        return {name.removesuffix(".weight"): p.shape for name, p in self.named.items() if name.endswith(ends)}

    @property
    def lm_head(self) -> torch.Tensor:
        """[V, D]"""
        return self["model.embed_tokens.weight" if self.shape.tied else "lm_head.weight"]

    def find(self, name: str) -> torch.Tensor | None:
        return self[name] if name in self._wholes else None

    @torch.inference_mode(False)  # what a rollout rounds, an update computes with
    def _round(self, name: str) -> torch.Tensor:
        whole = self._wholes[name].tensor
        if whole.dtype == self.dtype:
            return whole
        if self._rounded_at != self.version:
            self._rounded, self._rounded_at = {}, self.version
        if name not in self._rounded:
            self._rounded[name] = whole.to(self.dtype)
        return self._rounded[name]


class _Computed(torch.autograd.Function):
    """A tensor as a function of its parts: their rows under each other, or rounded, with nothing copied here."""

    @staticmethod
    def forward(ctx: Any, whole: torch.Tensor, *parts: torch.Tensor) -> torch.Tensor:
        ctx.parts = [(len(part), part.dtype) for part in parts]
        return whole.view_as(whole)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, dtypes = zip(*ctx.parts, strict=True)
        return None, *(grad.to(dtype) for grad, dtype in zip(grads[0].split(rows), dtypes, strict=True))


def _names(shape: DecoderShape) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every tensor of the shape in one group with its name, those computed together in one."""
    joined = {
        f"model.layers.{layer}.{part}.{kind}": f"model.layers.{layer}.{name}.{kind}"
        for layer in range(shape.layers)
        for name, parts in JOINED.items()
        for part in parts
        for kind in ("weight", "bias")
    }
    groups: dict[str, tuple[str, ...]] = {}
    for name in shape.tensor_names():
        group = joined.get(name, name)
        groups[group] = (*groups.get(group, ()), name)
    yield from groups.items()


def _take(names: tuple[str, ...], tensors: Tensors, dtype: torch.dtype, frozen: bool) -> _Whole:
    parts = [tensors.pop(name) for name in names]
    held = dtype if frozen and parts[0].ndim == 2 else torch.float32
    whole = (torch.cat(parts) if len(parts) > 1 else parts[0]).to(held)
    return _Whole(names, whole, tuple(len(part) for part in parts))


def load_model(
    folder: Path, dtype: torch.dtype = torch.float32, *, frozen: bool = False, device: str = "cpu"
) -> DecoderParameters:
    """The folder's model, of one or many safetensors files.

    Raises:
        MissingCheckpoint: a file is absent or damaged, or a tensor is missing.
        ConfigError: the model is none of the table's (``architectures``), or holds a tensor that would be left out.
    """
    shape = read_shape(folder)
    check_weights(folder)
    try:
        tensors = {k: v for file in weight_files(folder) for k, v in load_file(file, device=device).items()}
    except (OSError, SafetensorError) as error:
        raise MissingCheckpoint(f"model folder {folder} cannot be read ({error}): restore it or remove it") from None
    if shape.tied:
        tensors.pop("lm_head.weight", None)
    _check_names(folder, shape, tensors)
    return DecoderParameters(shape, tensors, dtype, frozen=frozen)


def _check_names(folder: Path, shape: DecoderShape, tensors: Tensors) -> None:
    wanted = set(shape.tensor_names())
    missing = sorted(wanted - tensors.keys())
    if missing:
        raise MissingCheckpoint(
            f"model folder {folder} lacks the weights {missing[0]} ({len(missing)} in all): restore it, or set "
            "model.pretrained=<another folder>"
        )
    for name in sorted(tensors.keys() - wanted):
        if not name.endswith("rotary_emb.inv_freq"):  # old folders hold what follows from the configuration
            raise ConfigError(
                f"{folder} holds {name}, which policy.engine=native does not compute with: set policy.engine=transformers"
            )
        tensors.pop(name)


def save_model(tensors: Mapping[str, torch.Tensor], start: Path, out: Path) -> None:
    """A Hugging Face folder ``out`` of these weights, in float32 as they were trained, beside all else that ``start`` holds."""
    copy_as_float32(start, out)
    float32 = {name: tensor.float().contiguous() for name, tensor in tensors.items()}
    save_file(float32, out / "model.safetensors", metadata={"format": "pt"})


def take_over(model: DecoderParameters, folder: Path) -> None:
    """Make the model's weights those of the folder, which ``save_model`` wrote.

    Raises:
        MissingCheckpoint: the file is absent or damaged, or of another model.
    """
    try:
        weights = load_file(folder / "model.safetensors")
    except (OSError, SafetensorError) as error:
        raise MissingCheckpoint(f"{folder} cannot be read ({error}): restore it or remove the folder") from None
    if weights.keys() != model.named.keys():
        raise MissingCheckpoint(f"{folder} is of another model: restore the right one or remove the folder")
    with torch.no_grad():
        for name, parameter in model.named.items():
            parameter.copy_(weights[name])
