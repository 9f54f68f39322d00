"""Which launches MLflow shows as running: a file in the launches' memory, from a launch's start until its pages are ended, and a lock
that goes when its process dies. What a killed launch leaves so is ended by ``python -m flows.sync``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.file_locks import is_held
from pipelines.files import atomic_write_text, json_text, remembered
from pipelines.tracking.mlflow.owed import digest
from pipelines.tracking.protocol import Status

if TYPE_CHECKING:
    from filelock import FileLock

    from pipelines.tracking.mlflow.database import Database

_DATABASE = "database"  # in the file, beside the status that each of MLflow's runs shall have, by its id
_PATIENCE_S = 10.0  # with another process that ends what this launch has left, or shows the same finished runs
# Until the process ends, if its pages cannot be ended: a lock that is forgotten is free.
_HELD: dict[Path, FileLock] = {}


class OpenLaunch:
    """Of one launch, by its key in ``memory``. Where another process keeps the lock, or the disk is full, nothing is written: then the
    pages of a launch that is killed say RUNNING until it is launched again."""

    def __init__(self, uri: str, memory: Path, key: str) -> None:
        self._database = digest(uri)
        self._path = memory / f"{key}-{self._database}.open.json"
        self._ends: dict[str, Status] = {}

    def begin(self) -> None:
        from filelock import Timeout

        self._path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(Timeout):
            if self._path not in _HELD:
                lock = _lock(self._path)
                lock.acquire(timeout=_PATIENCE_S)
                _HELD[self._path] = lock

    def opened(self, run_id: str) -> None:
        """This run of MLflow's runs, and is killed if the launch is."""
        self.ending({**self._ends, run_id: "KILLED"})

    def ending(self, ends: dict[str, Status]) -> None:
        """What is to be told of each, also by another process if this one cannot."""
        self._ends = ends
        if self._path in _HELD:
            with suppress(OSError):
                atomic_write_text(self._path, json_text({_DATABASE: self._database, **ends}))

    def ended(self) -> None:
        if self._path in _HELD:
            with suppress(OSError):
                _forget(self._path)
            _HELD.pop(self._path).release()


def killed_launches(uri: str, memory: Path) -> list[Path]:
    """The files of those that this database shows as running and no process is at."""
    return [path for path in sorted(memory.glob("*.open.json")) if _is_of(path, uri) and not is_held(_lock_file(path))]


def end_killed(database: Database, path: Path) -> None:
    """A run of MLflow's that was deleted on the page, or has ended since, is left as it is."""
    from filelock import Timeout

    with suppress(Timeout), _lock(path):
        for run_id, status in remembered(path).items():  # none: it has ended meanwhile
            if run_id != _DATABASE:
                database.end_running(run_id, status)
        _forget(path)


def _forget(path: Path) -> None:
    for file in (path, _lock_file(path)):
        file.unlink(missing_ok=True)


def _is_of(path: Path, uri: str) -> bool:
    return remembered(path).get(_DATABASE) == digest(uri)


def _lock(path: Path) -> FileLock:
    from filelock import FileLock

    return FileLock(_lock_file(path), timeout=0)


def _lock_file(path: Path) -> Path:
    return path.with_suffix(".lock")
