"""What a pretrained model is called where its folder holds another one than the configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.files import read_json
from pipelines.planning.shapes import KNOWN, called, known_as


def model_name(model: Mapping[str, Any]) -> Any:
    """``model``: the composed section. Its own ``name``, but where that is a known model's and ``pretrained`` is another known one, or
    a folder of other sizes: then that one's, for a run's cell, tags and report are called by it."""
    name, known = model.get("name"), known_as(str(model.get("name")))
    if model.get("weights") != "pretrained" or known is None:
        return name
    try:
        folder = Path(str(model.get("pretrained")))
        said = read_json(folder / "config.json")
        sizes = tuple(said.get(key) for key in ("hidden_size", "num_hidden_layers", "intermediate_size"))
    except (OSError, ValueError, AttributeError):  # whoever reads the folder says what is wrong with it
        other = KNOWN.get(str(model.get("pretrained")), known)  # a plan needs no folder
        return name if other == known else called(str(model["pretrained"]))
    return name if sizes == (known.hidden, known.layers, known.mlp) else _called(folder.absolute())


def _called(folder: Path) -> str:
    if folder.parent.name == "snapshots":  # of a hub's cache: models--<owner>--<name>/snapshots/<commit>
        return folder.parents[1].name.rpartition("--")[2]
    return folder.parent.name if folder.name == "model" else folder.name
