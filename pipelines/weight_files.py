"""Which files of a model folder hold its weights."""

from __future__ import annotations

from pathlib import Path

from pipelines.files import read_object

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"


def weight_files(folder: Path) -> list[Path]:
    """One file, those that an index names, or all there are, as transformers looks for them.

    Raises:
        OSError, ValueError, KeyError: the index cannot be read.
    """
    whole, index = folder / WHOLE, folder / INDEX
    if whole.is_file():
        return [whole]
    if index.is_file():
        return [folder / name for name in sorted(named_by(index))]
    return sorted(folder.glob("*.safetensors"))


def named_by(index: Path) -> set[str]:
    """The files that an index names. Raises OSError, ValueError, KeyError."""
    named = read_object(index)["weight_map"]
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
        raise ValueError(f"weight_map of {index.name} does not name a file for each tensor")
    return set(named.values())
