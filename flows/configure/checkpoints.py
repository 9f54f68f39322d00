"""What ``checkpoint=`` may name: a Hugging Face folder, a checkpoint that holds one or an adapter, or the folder of a finished run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import MissingCheckpoint
from pipelines.files import damaged_file, read_json
from pipelines.run_info import read_run_info
from pipelines.stages.merged import base_of

_LARGE_VOCABULARY = 10_000  # our stand-ins' have at most a few thousand tokens


@dataclass(frozen=True)
class Checkpoint:
    """``model``: an ordinary Hugging Face folder. ``params``: the experiment's values of the run that it is the last policy
    of, None for a folder from elsewhere. ``adapted``: the checkpoint that changes ``model`` by an adapter, if one does."""

    name: str
    model: Path
    params: Mapping[str, Any] | None = None
    adapted: Path | None = None

    @property
    def is_stand_in(self) -> bool:
        """Whether it is one of the tiny models that are made here."""
        config = _config(self.model)
        vocabulary = config.get("vocab_size")
        return config.get("model_type") == "qwen2" and isinstance(vocabulary, int) and vocabulary < _LARGE_VOCABULARY


def find_checkpoint(folder: Path, store: Path) -> Checkpoint:
    """``store``: the artifact store, where a run's checkpoints are.

    Raises:
        MissingCheckpoint: there is none; the message names what is missing.
    """
    if (folder / "config.json").is_file():
        return Checkpoint(folder.resolve().name, folder)
    if (folder / "model" / "config.json").is_file():
        return Checkpoint(folder.resolve().name, folder / "model")
    if (folder / "adapter" / "adapter_config.json").is_file():
        return Checkpoint(folder.resolve().name, base_of(folder), adapted=folder)
    if (folder / "params.yaml").is_file():
        return _of_run(folder, store)
    raise MissingCheckpoint(
        f"checkpoint={folder} is no model folder (no config.json), no checkpoint (no model/, no adapter/) and no run (no params.yaml)"
        + _hint(folder)
    )


def _hint(folder: Path) -> str:
    """What may have been meant: a cell's folder holds those of its seeds."""
    seeds = sorted(path.parent for path in folder.glob("*/params.yaml"))
    if seeds:
        return f": it holds {len(seeds)} run{'s' if len(seeds) > 1 else ''}, name one: checkpoint={seeds[0]}"
    return "" if folder.is_dir() else ": there is no such folder"


def _of_run(run: Path, store: Path) -> Checkpoint:
    try:
        if (damaged := damaged_file(run / "results")) is not None:
            raise MissingCheckpoint(f"{run / 'results' / damaged} is not what was written: launch the run again")
        info = read_run_info(run / "results")  # sealed; params.yaml is for people
    except (OSError, ValueError) as error:
        raise MissingCheckpoint(f"run {run} is not finished ({error}): launch it again, it continues") from None
    if not info.checkpoint:
        raise MissingCheckpoint(f"run {run} was finished before runs recorded their checkpoint: remove {run / 'results'} and "
                                "launch it again, it is written anew from its artifacts")  # fmt: skip
    checkpoint, name = store / info.checkpoint, f"{run.resolve().parent.name}-{run.resolve().name}"
    if (checkpoint / "model" / "config.json").is_file():
        return Checkpoint(name, checkpoint / "model", info.config)
    if (checkpoint / "adapter" / "adapter_config.json").is_file():
        return Checkpoint(name, base_of(checkpoint), info.config, checkpoint)
    raise MissingCheckpoint(
        f"run {run} ended with {checkpoint}, whose weights are not there: set execution.artifacts to the store that has them, "
        "or launch the run again with execution.runs and execution.artifacts of its own"
    )


def _config(model: Path) -> dict[str, Any]:
    try:
        config = read_json(model / "config.json")
        return config if isinstance(config, dict) else {}
    except (OSError, ValueError) as error:
        raise MissingCheckpoint(f"{model / 'config.json'} cannot be read ({error}): restore the folder") from None
