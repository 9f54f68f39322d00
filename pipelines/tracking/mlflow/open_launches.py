"""Which launches MLflow shows as running: a file in the launches' memory, from a launch's start until its pages are ended, and a lock
that goes when its process dies. What a killed launch leaves so is ended by ``python -m flows.sync``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.files import atomic_write_text, json_text, remembered
from pipelines.tracking.mlflow.owed import digest
from pipelines.tracking.protocol import Status

if TYPE_CHECKING:
    from filelock import FileLock

    from pipelines.tracking.mlflow.database import Database

_DATABASE = "database"  # in the file, beside the status that each of MLflow's runs shall have, by its id
_PATIENCE_S = 10.0  # with another process that ends what this launch has left, or shows the same finished runs
_HELD: dict[
    Path, FileLock
] = {}  # until the process ends, if its pages cannot be ended: a lock that is forgotten is free


class OpenLaunch:
    """Of one launch, by its key in ``memory``."""

    def __init__(self, uri: str, memory: Path, key: str) -> None:
        self._database = digest(uri)
        self._path = memory / f"{key}.open.json"
        self._ends: dict[str, Status] = {}

    def begin(self) -> None:
        from filelock import Timeout

        self._path.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock(self._path)
        with suppress(Timeout):
            lock.acquire(timeout=_PATIENCE_S)
            _HELD[self._path] = lock
        self._write()

    def opened(self, run_id: str) -> None:
        """This run of MLflow's runs, and is killed if the launch is."""
        self._ends[run_id] = "KILLED"
        self._write()

    def ending(self, ends: dict[str, Status]) -> None:
        """What is to be told of each, also by another process if this one cannot."""
        self._ends = ends
        self._write()

    def ended(self) -> None:
        _forget(self._path)
        if lock := _HELD.pop(self._path, None):
            lock.release()

    def _write(self) -> None:
        atomic_write_text(self._path, json_text({_DATABASE: self._database, **self._ends}))


def killed_launches(uri: str, memory: Path) -> list[Path]:
    """The files of those that this database shows as running and no process is at."""
    return [path for path in sorted(memory.glob("*.open.json")) if _is_of(path, uri) and _is_free(path)]


def end_killed(database: Database, path: Path) -> None:
    """A run of MLflow's that was deleted on the page, or has ended since, is left as it is."""
    from filelock import Timeout

    with suppress(Timeout), _lock(path):
        if _is_of(path, database.uri):  # it may have ended meanwhile
            for run_id, status in remembered(path).items():
                if run_id != _DATABASE:
                    database.end_running(run_id, status)
            _forget(path)


def _forget(path: Path) -> None:
    for file in (path, _lock_file(path)):
        file.unlink(missing_ok=True)


def _is_of(path: Path, uri: str) -> bool:
    return remembered(path).get(_DATABASE) == digest(uri)


def _is_free(path: Path) -> bool:
    from filelock import Timeout

    try:
        with _lock(path):
            return True
    except Timeout:
        return False


def _lock(path: Path) -> FileLock:
    from filelock import FileLock

    return FileLock(_lock_file(path), timeout=0)


def _lock_file(path: Path) -> Path:
    return path.with_suffix(".lock")
