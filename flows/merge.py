"""``python -m flows.merge``: the model of a run that trained an adapter, as a Hugging Face folder of its own.

  python -m flows.merge checkpoint=<folder> out=<folder> [base=<model folder>] [execution.artifacts=<store>]

checkpoint  a finished run (runs/<cell>/seed0), its checkpoint in the artifact store, or an adapter in PEFT's format
out         the folder to write; it must not be there yet
base        the model that the adapter changes. Default: the one that the run began with, which its store has

The weights are written in float32, the change merged into them; everything else of the model's folder goes with them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from flows.configure.checkpoints import find_checkpoint
from flows.exits import exit_code, leave, shows_help
from pipelines import policies
from pipelines.artifacts import held_if_stored
from pipelines.errors import ConfigError
from pipelines.files import replaced_folder
from pipelines.stages.merged import base_of

_KNOWN = ("checkpoint", "out", "base", "execution.artifacts")


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if shows_help(arguments, __doc__):
        return 0
    said = _read(arguments)
    out = Path(said["out"])
    if out.exists():
        raise ConfigError(f"out={out} is there already: name a folder that is not")
    adapter = _adapter(Path(said["checkpoint"]), Path(said.get("execution.artifacts", "artifacts")))
    base = Path(said["base"]) if "base" in said else base_of(adapter.parent)
    if not (base / "config.json").is_file():
        raise ConfigError(
            f"base={base} is no model folder (it has no config.json): name the model that the adapter changes"
        )
    with held_if_stored(base.parent), held_if_stored(adapter.parent), replaced_folder(out) as draft:
        policies.merge_adapter(base, adapter, draft)
    print(f"written: {out}")
    return 0


def _read(arguments: Sequence[str]) -> dict[str, str]:
    """Raises ConfigError: an argument is unknown, or one is missing."""
    said = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key not in _KNOWN or not equals or not value:
            raise ConfigError(f"cannot read {argument}: write {', '.join(f'{k}=…' for k in _KNOWN)}; see --help")
        said[key] = value
    for key in ("checkpoint", "out"):
        if key not in said:
            raise ConfigError(f"{key}=<folder> is missing; see python -m flows.merge --help")
    return said


def _adapter(checkpoint: Path, store: Path) -> Path:
    """The adapter's folder.

    Raises:
        MissingCheckpoint: there is no checkpoint. ConfigError: it holds a whole model.
    """
    if (checkpoint / "adapter_config.json").is_file():
        return checkpoint
    if (checkpoint / "adapter" / "adapter_config.json").is_file():
        return checkpoint / "adapter"
    found = find_checkpoint(checkpoint, store)
    if found.adapted is None:
        raise ConfigError(
            f"checkpoint={checkpoint} holds a whole model, {found.model}: there is nothing to merge; copy that"
        )
    return found.adapted / "adapter"


if __name__ == "__main__":
    leave(main())
