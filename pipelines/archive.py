"""A finished run's trajectories and last checkpoint, gathered from the artifact store for whoever keeps them elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipelines.artifacts import RECORD
from pipelines.errors import DataError
from pipelines.files import CHECKSUMS, DISK_FULL, checksums_text, damaged_file, read_json, replaced_folder, sha256_file
from pipelines.run_info import read_run_info

_ROLLOUT = ("steps.parquet", "trajectories.parquet")


@dataclass(frozen=True)
class _Stored:
    """A file of an artifact, and what its record says of it."""

    artifact: Path
    name: str
    sha256: str


def archive_run(run: Path, store: Path, out: Path) -> None:
    """Write ``out/rollouts/iteration0000/{steps,trajectories}.parquet`` … and ``out/checkpoint/`` (a Hugging Face folder; of a
    run that trained an adapter, that in PEFT's format, and ``out/base/``, the warm-started model that it changes), as copies, and
    their ``SHA256SUMS``; nothing where ``out`` holds them already. If it fails, ``out`` is as it was. A pretrained model that the
    run only played is its owner's: of such a run there is nothing.

    Raises:
        DataError: the run is not finished, or the store has no longer what it was made of; ``out`` cannot be written.
        OSError: the disk is full.
    """
    try:
        last = store / read_run_info(run / "results").checkpoint
        files = dict(_files(last, store))
        if not _holds(out, files):
            with replaced_folder(out) as draft:
                for name, stored in files.items():
                    _copy(stored, draft / name)
                if files:
                    (draft / CHECKSUMS).write_text(_checksums(files), "utf-8")
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise
        if isinstance(error, OSError) and not _is_below(error.filename, run, store):
            raise DataError(f"{out} cannot be written ({error})") from None
        raise DataError(
            f"run {run} cannot be archived ({error}): remove {run / 'results'} and launch it again, what is lost is made anew"
        ) from None


def is_made_of(out: Path, run: Path, store: Path) -> bool:
    """Whether ``archive_run`` would write the very bytes that ``out`` was written with, by its ``SHA256SUMS``: an equal name may
    be of other packages or another machine. False too where the run's results, or the records of what it was made of, are not here."""
    try:
        files = dict(_files(store / read_run_info(run / "results").checkpoint, store))
        return (out / CHECKSUMS).read_bytes() == _checksums(files).encode()
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _is_below(name: str | None, *folders: Path) -> bool:
    return name is not None and any(Path(name).is_relative_to(folder) for folder in folders)


def _files(last: Path, store: Path) -> Iterator[tuple[str, _Stored]]:
    """``last``: the run's last policy."""
    record = read_json(last / RECORD)
    if _is_pretrained(record):
        return
    held = list(_below("model", "checkpoint", last, record))
    if not held:  # it trained an adapter: that, and the model it changes where the run made it
        held = list(_below("adapter", "checkpoint", last, record))
        if not held:
            raise ValueError(f"{last} holds no model")
        held += _base(last, record, store)
    yield from held
    if record["stage"] != "update":  # it did not train
        return
    for iteration, rollout in _rollouts(record, store):
        played = read_json(rollout / RECORD)
        for name in _ROLLOUT:
            yield f"rollouts/iteration{iteration:04d}/{name}", _stored(rollout, played, name)


def _base(last: Path, record: Mapping[str, Any], store: Path) -> Iterator[tuple[str, _Stored]]:
    """The model that the adapter of ``last`` changes: of the warm start, or a stand-in as it was made."""
    digits = record["inputs"]["reference"][:20]
    found = [store / stage / digits for stage in ("warm_start", "model") if (store / stage / digits / RECORD).is_file()]
    if not found:
        raise ValueError(f"the model {digits} that the adapter of {last} changes is not in {store / 'warm_start'}")
    made = read_json(found[0] / RECORD)
    if not _is_pretrained(made):
        yield from _below("model", "base", found[0], made)


def _is_pretrained(record: Mapping[str, Any]) -> bool:
    """Links to a model from elsewhere: its files are inputs, and no value made it (``views.PretrainedView``)."""
    return record["stage"] == "model" and not record["values"]


def _below(part: str, out: str, artifact: Path, record: Mapping[str, Any]) -> Iterator[tuple[str, _Stored]]:
    for name in record["files"]:
        if PurePosixPath(name).is_relative_to(part):
            yield f"{out}/{PurePosixPath(name).relative_to(part)}", _stored(artifact, record, name)


def _rollouts(update: Mapping[str, Any], store: Path) -> Iterator[tuple[int, Path]]:
    """From the last update's record back to the first's: each names the rollout and the policy that it was made of."""
    while True:
        iteration, inputs = int(update["values"]["iteration"]), update["inputs"]
        yield iteration, store / "rollout" / inputs["rollout"][:20]
        if iteration == 0:
            return
        update = read_json(store / "update" / inputs["policy"][:20] / RECORD)


def _stored(artifact: Path, record: Mapping[str, Any], name: str) -> _Stored:
    return _Stored(artifact, name, record["files"][name]["sha256"])


def _holds(folder: Path, files: Mapping[str, _Stored]) -> bool:
    """Whether these are its files, and no others."""
    if not files:
        return not any(path.is_file() for path in folder.rglob("*"))
    try:
        return (folder / CHECKSUMS).read_bytes() == _checksums(files).encode() and damaged_file(folder) is None
    except FileNotFoundError:
        return False


def _checksums(files: Mapping[str, _Stored]) -> str:
    return checksums_text({name: stored.sha256 for name, stored in files.items()})


def _copy(stored: _Stored, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(stored.artifact / stored.name, target)
    if sha256_file(target) != stored.sha256:
        raise ValueError(f"{stored.artifact / stored.name} is damaged, remove its folder {stored.artifact} too")
