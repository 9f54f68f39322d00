"""LoRA adapters (Hu et al. 2021, arXiv:2106.09685), whoever trains them: how they begin, and on disk in PEFT's format."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from pipelines.config import LoraSettings
from pipelines.errors import ConfigError, MissingCheckpoint
from pipelines.files import read_json, write_json
from pipelines.policies.model_folder import check_weights, copy_as_float32
from pipelines.weight_files import INDEX, weight_files

FOLDER = "adapter"  # of a checkpoint
_SEED = 0
_PREFIX = "base_model.model."  # PEFT's, before the name of a module
_WEIGHTS, _CONFIG = "adapter_model.safetensors", "adapter_config.json"


def tensor_name(module: str, which: str) -> str:
    """In the file, of the factor ``which``, A [r, D] or B [O, r], beside the projection ``module``."""
    return f"{_PREFIX}{module}.lora_{which}.weight"


def chosen(settings: LoraSettings, modules: Iterable[str]) -> list[str]:
    """The projections that the settings name, of all that could be changed, sorted.

    Raises:
        ConfigError: a target is none of them.
    """
    by_end = {name: name.rpartition(".")[2] for name in modules}
    known = sorted(set(by_end.values()))
    for target in settings.targets:
        if target not in known:
            raise ConfigError(
                f"training.adapter.targets: the model has no projection {target}, only {', '.join(known)}"
            )
    return sorted(name for name, end in by_end.items() if end in settings.targets)


def initial(settings: LoraSettings, shapes: Mapping[str, Sequence[int]]) -> dict[str, torch.Tensor]:
    """By the tensors' names in the file, float32. ``shapes``: [O, D] of each projection. A is random, the same for every policy; B is
    zero: the model is unchanged."""
    generator = torch.Generator().manual_seed(_SEED)
    tensors = {}
    for name, (rows, columns) in sorted(shapes.items()):
        a = torch.empty(settings.rank, columns)
        nn.init.kaiming_uniform_(a, a=math.sqrt(5), generator=generator)
        tensors[tensor_name(name, "A")] = a
        tensors[tensor_name(name, "B")] = torch.zeros(rows, settings.rank)
    return dict(sorted(tensors.items()))


def merged(weight: torch.Tensor, a: torch.Tensor, b: torch.Tensor, scale: float) -> torch.Tensor:
    """float32 [O, D]: a projection with its change, W + α/r · B A."""
    return weight.float() + scale * (b.float() @ a.float())


def merge_folder(base: Path, adapter: Path, out: Path) -> None:
    """A Hugging Face folder ``out``: that of ``base`` with an adapter's changes in its weights, all in float32, file by file.

    Raises:
        MissingCheckpoint: a file is absent or damaged, or the adapter is of another model.
    """
    changes, scale = _changes(adapter)
    named = {name.partition(".")[2]: name for name in changes} | {
        name: name for name in changes
    }  # files may leave the prefix out
    check_weights(base)
    copy_as_float32(base, out)
    files = weight_files(base)
    for file in files:
        tensors = {name: tensor.float().contiguous() for name, tensor in load_file(file).items()}
        for name in sorted(tensors.keys() & named.keys()):
            a, b = changes.pop(named[name])
            if (
                a.ndim != 2
                or b.ndim != 2
                or a.shape[0] != b.shape[1]
                or tensors[name].shape != (b.shape[0], a.shape[1])
            ):
                raise MissingCheckpoint(
                    f"{adapter} changes {name} of another shape than {base} has: it is of another model"
                )
            tensors[name] = merged(tensors[name], a, b, scale)
        save_file(tensors, out / file.name, metadata={"format": "pt"})
    if changes:
        raise MissingCheckpoint(f"{adapter} changes {min(changes)}, which {base} has not: it is of another model")
    if len(files) > 1 and (base / INDEX).is_file():
        shutil.copyfile(base / INDEX, out / INDEX)


def _changes(folder: Path) -> tuple[dict[str, tuple[torch.Tensor, torch.Tensor]], float]:
    """A and B by the names of the weights that they change, and α/r."""
    try:
        config = read_json(folder / _CONFIG)
        tensors = load_file(folder / _WEIGHTS)
        names = {name.removesuffix(".lora_A.weight") for name in tensors if name.endswith(".lora_A.weight")}
        factors = {
            f"{name.removeprefix(_PREFIX)}.weight": (tensors[f"{name}.lora_A.weight"], tensors[f"{name}.lora_B.weight"])
            for name in names
        }
        alpha, rank = float(config["lora_alpha"]), int(config["r"])
        if rank < 1 or not math.isfinite(alpha):
            raise ValueError(f"lora_alpha={alpha} and r={rank}")
        return factors, alpha / rank
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise MissingCheckpoint(f"{folder} holds no adapter that can be read ({error}): restore it") from None


def write(folder: Path, settings: LoraSettings, tensors: Mapping[str, torch.Tensor]) -> None:
    """PEFT's two files; the same tensors, same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / _CONFIG, {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": None, "inference_mode": True,
        "r": settings.rank, "lora_alpha": settings.alpha, "lora_dropout": 0.0, "bias": "none",
        "fan_in_fan_out": False, "target_modules": sorted(settings.targets),
    })  # fmt: skip
    save_file(dict(tensors), folder / _WEIGHTS, metadata={"format": "pt"})


def read(folder: Path, like: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What ``write`` wrote, of the names and shapes of ``like``.

    Raises:
        MissingCheckpoint: the file is absent or damaged, or of another model or rank.
    """
    try:
        tensors: dict[str, torch.Tensor] = load_file(folder / _WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise MissingCheckpoint(f"{folder} cannot be read ({error}): restore it or remove the folder") from None
    if {k: v.shape for k, v in tensors.items()} != {k: p.shape for k, p in like.items()}:
        raise MissingCheckpoint(f"{folder} is of another model or another training.adapter: restore the right one")
    return tensors
