"""The artifact store: "is this stage done?" answered by a fingerprint, crash-safe.

An artifact is a folder ``root/<stage>/<fingerprint[:20]>/`` of payload files and ``record.json``. It is written under a
temporary name, checksummed and flushed, the record last, and renamed into place: it is there whole or not at all.
The fingerprint covers the stage, its version, the values that bear on the numbers and the fingerprints of its inputs;
never paths, worker counts or log levels (identity against execution, as in marin's executor).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from pipelines.errors import ArtifactLocked, CorruptArtifact, StoreFull
from pipelines.file_locks import stopped_holder
from pipelines.files import DISK_FULL, atomic_write_text, file_bytes, flush, json_text, read_json, sha256_file
from pipelines.versions import CONVERSIONS, MEASUREMENTS, STAGES

T = TypeVar("T")
RECORD = "record.json"
_DRAFT = ".draft-"
_DIGITS = re.compile(r"[0-9a-f]{20}")  # the name of an artifact's folder
_PATIENCE_S, _PAUSE_S = 60.0, 0.02  # with those who hold an artifact: they load a model
_FIELDS = frozenset({"stage", "version", "fingerprint", "values", "inputs", "files"})
_OPTIONAL = frozenset({"machine", "pruned", "seal"})
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)  # what reading a damaged record raises


# ------------------------------------------------------------------------------------------------------- fingerprints


def fingerprint(stage: str, version: int, values: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """SHA-256 (hex) of the stage's identity. Text, integers, floats and booleans that look alike differ.

    Raises:
        TypeError: a value cannot be part of an identity (NaN, a path, a set, an object); the message names its key.
    """
    identity = {"stage": stage, "version": version, "values": dict(values), "inputs": dict(inputs)}
    for name, part in identity.items():
        _check_serialisable(name, part)
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _check_serialisable(key: str, value: object) -> None:
    if value is None or isinstance(value, bool | int | str):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"{key} = {value} cannot be part of a fingerprint")
    elif isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                raise TypeError(f"{key} has the key {name!r}: keys of a fingerprint are strings")
            _check_serialisable(f"{key}.{name}", item)
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            _check_serialisable(f"{key}[{i}]", item)
    else:
        raise TypeError(f"{key} is a {type(value).__name__}: it cannot be part of a fingerprint")


# ---------------------------------------------------------------------------------------------------------- artifacts


@dataclass(frozen=True, eq=False)
class Artifact:
    """A finished artifact. ``files`` maps relative names to ``{"sha256", "bytes"}``; those in ``pruned`` are gone on
    purpose. ``machine``: the kind that it was made on; empty where nobody recorded it."""

    stage: str
    fingerprint: str
    folder: Path
    files: Mapping[str, Mapping[str, Any]]
    pruned: frozenset[str] = frozenset()
    machine: Mapping[str, str] = field(default_factory=dict)
    _verified: set[str] = field(default_factory=set, repr=False)

    def path(self, name: str) -> Path:
        """The payload file, its checksum verified at the first access through this object.

        Raises:
            CorruptArtifact: the file is missing, pruned, or differs from the record.
            KeyError: the artifact never had such a file.
        """
        path, expected = self.folder / name, self.files[name]["sha256"]
        if name not in self._verified:
            if name in self.pruned:
                raise CorruptArtifact(f"{path} was pruned; {_remedy(self.folder)}")
            found = "of nothing, it is missing"
            with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                found = sha256_file(path)
            if found != expected:
                raise CorruptArtifact(f"{path} is damaged: sha256 {found}, expected {expected}; {_remedy(self.folder)}")
            self._verified.add(name)
        return path

    def tree(self, name: str = "") -> Path:
        """A folder of the artifact (all of it by default) with every file below it verified: for readers that take a
        folder, such as transformers' ``from_pretrained``.

        Raises:
            CorruptArtifact: as ``path``, or the folder holds no recorded file.
        """
        inside = [file for file in self.files if not name or PurePosixPath(file).is_relative_to(name)]
        if not inside:
            raise CorruptArtifact(f"{self.folder / name} holds no recorded file; {_remedy(self.folder)}")
        for file in inside:
            self.path(file)
        return self.folder / name

    def verify(self) -> None:
        """Read and check every file that was not pruned. Raises CorruptArtifact for the first that differs."""
        self._verified.clear()
        for name in self.files.keys() - self.pruned:
            self.path(name)

    @contextmanager
    def held(self) -> Iterator[None]:
        """While the block runs, no ``prune`` of any process takes a file of the artifact. What was taken before is in ``lacks``. A
        file system without locks holds nothing.

        Raises:
            ArtifactLocked: who is taking files away does not go on.
        """
        with _folder_lock(self.folder, exclusive=False) as locked:
            if not locked:
                raise ArtifactLocked(
                    f"another process prunes {self.folder} and does not go on (it was stopped): end it"
                )
            yield

    def is_complete(self, name: str) -> bool:
        """Whether the file is there in its full size; False when it was pruned, cut or lost."""
        return bool(file_bytes(self.folder / name) == self.files[name]["bytes"])

    def lacks(self) -> list[str]:
        """Names of files that are not complete."""
        return [name for name in self.files if name in self.pruned or not self.is_complete(name)]


@dataclass(frozen=True)
class Draft:
    """An artifact being written: put files below ``folder``."""

    folder: Path

    def path(self, name: str) -> Path:
        """Where to write the payload file ``name``; its parent folders are made."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


@contextmanager
def held_if_stored(folder: Path) -> Iterator[None]:
    """While the block runs, nobody takes a file of the folder, where it is an artifact; before it, its files are checked. For whoever
    plays a checkpoint by its path.

    Raises:
        CorruptArtifact: a file of it is missing or damaged.
    """
    if not (folder / RECORD).exists():
        yield
        return
    identity = str(_checked(folder, lambda: read_json(folder / RECORD)["fingerprint"]))
    with _checked(folder, lambda: _read(folder, identity)).held():
        _checked(folder, lambda: _read(folder, identity)).verify()  # what the record says once it is held
        yield


# -------------------------------------------------------------------------------------------------------------- store


class ArtifactStore:
    """Folders of finished artifacts below ``root``. ``versions``, of the packages that bear on the numbers, are part of
    every identity: after an upgrade nothing made before is taken for the same. ``made``: how many artifacts it made itself, as
    opposed to those that it found. ``machine``: the kind of this one (``cpu.kind_of_machine``), which is written beside what is made
    and is no part of its identity: a run that goes on elsewhere goes on."""

    def __init__(
        self, root: Path, versions: Mapping[str, str] | None = None, machine: Mapping[str, str] | None = None
    ) -> None:
        self.root = root
        self._versions, self._machine = dict(versions or {}), dict(machine or {})
        self._swept = False
        self.made = 0

    def find(self, stage: str, identity: str) -> Artifact | None:
        """The finished artifact, or None. Cheap: reads the record and the files' sizes.

        Raises:
            CorruptArtifact: its record is damaged or belongs to something else, or a file is missing or was cut.
        """
        folder = self._folder(stage, identity)
        try:
            artifact = _read(folder, identity)
            damaged = _incomplete(artifact)
        except FileNotFoundError:  # also: removed between two looks
            if folder.exists():
                raise CorruptArtifact(f"{folder} has no {RECORD}; {_remedy(folder)}") from None
            return None
        except _UNREADABLE as error:
            raise _damaged_record(folder, error) from None
        if damaged is not None:
            size = file_bytes(folder / damaged)
            found = "no such file" if size is None else f"{size} bytes"
            expected = f"expected {artifact.files[damaged]['bytes']} bytes"
            raise CorruptArtifact(f"{folder / damaged} is damaged: {found}, {expected}; {_remedy(folder)}")
        return artifact

    def get_or_make(
        self,
        stage: str,
        version: int,
        values: Mapping[str, Any],
        inputs: Mapping[str, str],
        make: Callable[[Draft], None],
    ) -> Artifact:
        """Find the artifact, or make it while holding its inter-process lock: two runs that need the same warm start
        do the work once. ``make`` may fail or be killed at any instant: nothing of it stays.

        Raises:
            CorruptArtifact: as ``find``.
            StoreFull: no space is left; the draft is gone, nothing else is touched.
            ArtifactLocked: who makes it was stopped.
        """
        values = {**values, **({"versions": self._versions} if self._versions else {})}
        identity = fingerprint(stage, version, values, inputs)
        if (artifact := self.find(stage, identity)) is not None:
            return artifact
        self._sweep()
        folder = self._folder(stage, identity)
        with full_disk_is_readable(folder), self._locked(folder):
            if (artifact := self.find(stage, identity)) is not None:
                return artifact
            of = {"stage": stage, "version": version, "values": dict(values), "inputs": dict(inputs)}
            artifact = _write(folder, of | {"fingerprint": identity} | _machine_entry(self._machine), make)
            self.made += 1
            return artifact

    def prune(self, artifact: Artifact, keep: frozenset[str] = frozenset({"metrics.json"})) -> Artifact:
        """Delete the payload of a finished artifact but for ``keep``. The stage is still done: its record stays, with
        the checksums of what was deleted. One that is kept stays as it is. Waits for those who hold it; where one never lets go,
        everything stays."""
        pruned = frozenset(artifact.files) - keep
        if self._mark(artifact).exists():  # no need to wait for anybody
            return artifact
        with _folder_lock(artifact.folder, exclusive=True) as locked:
            if not locked or self._mark(artifact).exists():
                return artifact
            if not artifact.folder.exists():  # somebody removed it
                return artifact
            if pruned != artifact.pruned:
                # The record first: a crash in between leaves files too many, never a file missing without a reason.
                _record_pruned(artifact.folder, sorted(pruned))
            for name in pruned:
                (artifact.folder / name).unlink(missing_ok=True)
        return replace(artifact, pruned=pruned, _verified=set())

    def folders(self) -> Iterator[Path]:
        """Of all artifacts, whole or not: those that have an artifact's name below a stage's. ``root`` may be any folder, and
        whatever else lies in it is its owner's."""
        return (folder for folder in self._below_stages() if _is_named_as_artifact(folder))

    def strangers(self) -> Iterator[Path]:
        """What lies below a stage's folder and is no artifact by its name; a link is none, for removing it would free nothing."""
        return (path for path in self._below_stages() if not _is_named_as_artifact(path) and path.name[0] != ".")

    def _below_stages(self) -> Iterator[Path]:
        for stage in sorted((*STAGES, *MEASUREMENTS, *CONVERSIONS)):
            yield from sorted((self.root / stage).glob("*"))

    def damage(self, folder: Path) -> str:
        """What is wrong with the artifact of a folder, "" where nothing is. Reads all of it, and what seems damaged once more: a
        run may have pruned it meanwhile, which the record then says."""
        return self._damage(folder) and self._damage(folder)

    def _damage(self, folder: Path) -> str:
        try:
            identity = str(read_json(folder / RECORD)["fingerprint"])
            if self._folder(folder.parent.name, identity) != folder:
                return "its record is another's"
            found = self.find(folder.parent.name, identity)
            if found is not None:
                found.verify()
        except CorruptArtifact as error:
            return str(error).removesuffix(f"; {_remedy(folder)}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"its {RECORD} cannot be read ({error})" if folder.exists() else ""
        return ""

    def remove(self, folder: Path) -> bool:
        """Remove an artifact if it is damaged, so that the next that needs it makes it; whether it was removed. Waits some time
        for those who hold it, and for who makes it."""
        from filelock import Timeout

        with suppress(Timeout), self._locked(folder, _PATIENCE_S), _folder_lock(folder, exclusive=True) as locked:
            if locked and self.damage(folder):
                # Renamed first, so that nobody finds half of it.
                shutil.rmtree(folder.rename(folder.with_name(f"{_DRAFT}{folder.name}.{os.getpid()}")))
                return True
        return False

    def keep(self, artifact: Artifact, make: Callable[[Draft], None]) -> Artifact:
        """Never prune it from now on. ``make`` writes again what was pruned before, and no other file is taken from it.

        Raises:
            CorruptArtifact: what it wrote is not what was pruned.
        """
        mark, folder = self._mark(artifact), artifact.folder
        with full_disk_is_readable(folder), self._locked(folder):
            mark.parent.mkdir(exist_ok=True)
            mark.touch()
            with artifact.held():  # who prunes it now is waited for, and nobody does afterwards
                pruned = _read(folder, artifact.fingerprint).pruned
            if pruned:
                with _drafted(folder) as draft:
                    make(Draft(draft))
                    _put_back(artifact, pruned, draft)
                _record_pruned(folder, [])
        return replace(artifact, pruned=frozenset(), _verified=set())

    def _mark(self, artifact: Artifact) -> Path:
        """The file that says that it is kept."""
        return self.root / ".kept" / f"{artifact.folder.parent.name}-{artifact.folder.name}"

    def _folder(self, stage: str, identity: str) -> Path:
        return self.root / stage / identity[:20]

    @contextmanager
    def _locked(self, folder: Path, timeout: float | None = None) -> Iterator[None]:
        """The lock is the operating system's: it goes when its process dies. None: it is waited for as long as whoever has it goes on.

        Raises:
            filelock.Timeout: it is held for longer than ``timeout`` seconds. ArtifactLocked: its process was stopped.
        """
        from filelock import FileLock

        path = self.root / ".locks" / f"{folder.parent.name}-{folder.name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        if timeout is not None:
            lock.acquire(timeout=timeout)
        elif (stopped := stopped_holder(lock)) is not None:
            raise ArtifactLocked(
                f"process {stopped}, which makes {folder}, is stopped and does not go on: continue it (kill -CONT {stopped}) or end "
                "it, then launch again"
            )
        with ExitStack() as held:
            held.callback(lock.release)
            # First, while it is held: whoever waits for it sees that, and takes the next file of the name.
            held.callback(path.unlink, missing_ok=True)
            yield

    def _sweep(self) -> None:
        """Once per store, before the first write: remove the drafts and locks of killed writers, those whose lock is free."""
        from filelock import Timeout

        if self._swept:
            return
        self._swept = True
        for draft in self.root.glob(f"*/{_DRAFT}*"):
            try:
                with self._locked(draft.with_name(draft.name.removeprefix(_DRAFT).partition(".")[0]), timeout=0):
                    shutil.rmtree(draft, ignore_errors=True)
            except Timeout:
                pass  # its writer is alive
        for left in self.root.glob(".locks/*"):
            stage, _, name = left.name.rpartition("-")
            with suppress(Timeout), self._locked(self.root / stage / name, timeout=0):
                pass


def _read(folder: Path, identity: str) -> Artifact:
    """Read a record strictly: a byte changed anywhere in it must not pass unseen."""
    record = read_json(folder / RECORD)
    if record.keys() - _OPTIONAL != _FIELDS or record["fingerprint"] != identity:
        raise ValueError("not the record of this artifact")
    if fingerprint(record["stage"], record["version"], record["values"], record["inputs"]) != identity:
        raise ValueError("its values do not give its fingerprint")
    files, pruned = record["files"], frozenset(record.get("pruned", ()))
    if not pruned <= files.keys() or any(facts.keys() != {"sha256", "bytes"} for facts in files.values()):
        raise ValueError("its list of files is malformed")
    if record.get("seal", seal := _seal(record)) != seal:
        raise ValueError("its list of files is not what was written")
    machine = _machine_of(record)
    if {name: record[name] for name in record if name == "machine"} != _machine_entry(machine):
        raise ValueError("its machine is not what was written")
    return Artifact(record["stage"], identity, folder, files, pruned, machine)


def _checked(folder: Path, read: Callable[[], T]) -> T:
    """Raises CorruptArtifact: the folder's record cannot be read."""
    try:
        return read()
    except (*_UNREADABLE, OSError) as error:
        raise _damaged_record(folder, error) from None


def _damaged_record(folder: Path, error: Exception) -> CorruptArtifact:
    return CorruptArtifact(f"{folder / RECORD} is damaged ({error}); {_remedy(folder)}")


def _incomplete(artifact: Artifact) -> str | None:
    """The first file that is lost or cut. Another process may be pruning it at this moment, which the record, read again, then says."""
    for name in sorted(artifact.files.keys() - artifact.pruned):
        if not artifact.is_complete(name) and name not in _read(artifact.folder, artifact.fingerprint).pruned:
            return name
    return None


def _seal(record: Mapping[str, Any]) -> str:
    """A checksum of the files' own, which no fingerprint covers, and of pruned files no file shows. Older records have none."""
    files = json.dumps([record["files"], record.get("pruned", [])], sort_keys=True)
    return hashlib.sha256(files.encode()).hexdigest()


def _machine_of(record: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, value in record.get("machine", {}).items() if name != "sha256"}


def _machine_entry(machine: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """With a checksum of its own, for no fingerprint covers it."""
    digest = hashlib.sha256(json.dumps(dict(machine), sort_keys=True).encode()).hexdigest()
    return {"machine": {**machine, "sha256": digest}} if machine else {}


def _write(folder: Path, record: dict[str, Any], make: Callable[[Draft], None]) -> Artifact:
    """Fill a draft, checksum and flush it, and rename it into place. The caller holds the lock."""
    with _drafted(folder) as draft:
        make(Draft(draft))
        if (draft / RECORD).exists():
            raise ValueError(f"{record['stage']}: {RECORD} is the store's own name, choose another for the payload")
        files = {}
        for path in sorted(draft.rglob("*")):
            flush(path)
            if path.is_file():
                files[path.relative_to(draft).as_posix()] = {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        record = record | {"files": files}
        atomic_write_text(draft / RECORD, json_text(record | {"seal": _seal(record)}))
        draft.rename(folder)
    flush(folder.parent)
    return Artifact(record["stage"], record["fingerprint"], folder, files, machine=_machine_of(record))


@contextmanager
def _folder_lock(folder: Path, *, exclusive: bool) -> Iterator[bool]:
    """The operating system's lock of a folder, held by many or ``exclusive``; whether it was had, for it is waited for.
    ``exclusive``: not of one that was made anew meanwhile."""
    import fcntl

    wanted = (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:  # there is nothing to hold
        yield True
        return
    try:
        had = _is_had(lambda: fcntl.flock(descriptor, wanted))
        if exclusive or not had or _is_still(folder, descriptor):
            yield had and _is_still(folder, descriptor)
        else:  # who reads takes the one that was made anew
            with _folder_lock(folder, exclusive=False) as had:
                yield had
    finally:
        os.close(descriptor)


def _is_still(folder: Path, descriptor: int) -> bool:
    """Whether the folder of that name is the one that was opened, or none: another may have been made while this one was waited for."""
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return True


def _is_had(lock: Callable[[], None]) -> bool:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        try:
            lock()
        except BlockingIOError:
            time.sleep(_PAUSE_S)
            continue
        except OSError:  # as of some network file systems
            pass
        return True
    return False


@contextmanager
def _drafted(folder: Path) -> Iterator[Path]:
    """A folder to fill beside ``folder``, of which nothing stays. It is this process' own: what a killed writer leaves is removed,
    but a worker that outlives it for a moment may still write there."""
    for left in folder.parent.glob(f"{_DRAFT}{folder.name}*"):
        shutil.rmtree(left, ignore_errors=True)
    draft = folder.with_name(f"{_DRAFT}{folder.name}.{os.getpid()}")
    draft.mkdir(parents=True)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _put_back(artifact: Artifact, pruned: frozenset[str], draft: Path) -> None:
    """Move what was pruned from the draft to where it was, once all of it is as it was."""
    for name in sorted(pruned):
        made, expected = draft / name, artifact.files[name]["sha256"]
        found = sha256_file(made) if made.is_file() else "of nothing, it was not written"
        if found != expected:
            raise CorruptArtifact(
                f"{artifact.folder / name} was pruned, and made again it is another one (sha256 {found}, expected {expected}): "
                "set execution.artifacts to a new folder, where the run is made from its start"
            )
        flush(made)
    for name in sorted(pruned):
        (artifact.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (draft / name).replace(artifact.folder / name)


def _is_named_as_artifact(path: Path) -> bool:
    return _DIGITS.fullmatch(path.name) is not None and path.is_dir() and not path.is_symlink()


def _record_pruned(folder: Path, names: list[str]) -> None:
    record = {key: value for key, value in read_json(folder / RECORD).items() if key not in ("pruned", "seal")}
    record |= {"pruned": names} if names else {}
    with full_disk_is_readable(folder):
        atomic_write_text(folder / RECORD, json_text(record | {"seal": _seal(record)}))


def _remedy(folder: Path) -> str:
    return f"remove the folder {folder} and launch again, the stage is then made anew"


@contextmanager
def full_disk_is_readable(folder: Path) -> Iterator[None]:
    """Raise StoreFull when the disk is full, also where a library (safetensors, arrow) wraps the text of it."""
    try:
        yield
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in DISK_FULL
        too_large = "File too large" in str(error)
        if isinstance(error, StoreFull) or not (full or too_large or "No space left on device" in str(error)):
            raise
        remedy = "raise the limit on the size of files (ulimit -f)" if too_large else "free some space"
        raise StoreFull(
            f"no space left while writing {folder} ({error}): {remedy} and launch again; what was finished stays"
        ) from error
