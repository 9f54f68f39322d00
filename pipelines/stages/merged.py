"""The model of a checkpoint that holds an adapter alone: merged when somebody asks for it, once."""

from __future__ import annotations

from pathlib import Path

from pipelines import policies
from pipelines.artifacts import RECORD, Artifact, ArtifactStore, Draft
from pipelines.config.views import COMMON_PACKAGES, package_versions
from pipelines.errors import MissingCheckpoint
from pipelines.files import read_json

_VERSION = 1  # of the merging: raise it when the folder becomes another
_MODEL, _ADAPTER = "model", "adapter"


def model_of(store: ArtifactStore, policy: Artifact, initial: Artifact) -> Path:
    """The policy's model as a Hugging Face folder. ``initial``: the artifact that its run started from.

    Raises:
        CorruptArtifact, MissingCheckpoint: a file is missing or damaged.
    """
    if any(name.startswith(f"{_MODEL}/") for name in policy.files):
        return policy.tree(_MODEL)

    def make(draft: Draft) -> None:
        policies.merge_adapter(initial.tree(_MODEL), policy.tree(_ADAPTER), draft.folder / _MODEL)

    inputs = {"policy": policy.fingerprint, "initial": initial.fingerprint}
    return store.get_or_make("merged", _VERSION, {}, inputs, make).tree(_MODEL)


def base_of(checkpoint: Path) -> Path:
    """The model's folder that an adapter's checkpoint, a folder of the store, changes. Light.

    Raises:
        MissingCheckpoint: it is none of a store's, or the store has no longer what it began with.
    """
    try:
        reference = str(read_json(checkpoint / RECORD)["inputs"]["reference"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingCheckpoint(
            f"{checkpoint} holds an adapter and no {RECORD} that says of which model ({error}): merge it with python -m flows.merge "
            "checkpoint=… base=<the model's folder> out=…"
        ) from None
    for stage in ("warm_start", "model"):
        folder = checkpoint.parents[1] / stage / reference[:20]
        if (folder / _MODEL / "config.json").is_file():
            return folder / _MODEL
    raise MissingCheckpoint(
        f"the store has no {checkpoint.parents[1]}/{{warm_start,model}}/{reference[:20]}, the model that the adapter of {checkpoint} "
        "changes: set execution.artifacts to the store that has it, or launch the run again"
    )


def merged(checkpoint: Path) -> Path:
    """The merged model of an adapter's checkpoint, which is a folder of a store.

    Raises:
        CorruptArtifact, MissingCheckpoint: a file is missing or damaged.
    """
    store = ArtifactStore(checkpoint.parents[1], package_versions(COMMON_PACKAGES))
    found = [_artifact(store, folder) for folder in (checkpoint, base_of(checkpoint).parent)]
    return model_of(store, *found)


def _artifact(store: ArtifactStore, folder: Path) -> Artifact:
    artifact = store.find(folder.parent.name, read_json(folder / RECORD)["fingerprint"])
    if artifact is None:
        raise MissingCheckpoint(f"{folder} is none of the store's artifacts: restore it")
    return artifact
