"""Weights & Biases: a run in ``wandb/`` of the run's folder; offline by default, to be sent by ``wandb sync`` when wanted."""

from __future__ import annotations

import os
import struct
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal
from unittest.mock import patch

from pipelines.files import atomic_write_text
from pipelines.tracking.guard import Refusals, is_bad_value
from pipelines.tracking.protocol import Status, TrackedRun, Tracker, TrackerSettings

if TYPE_CHECKING:
    import pyarrow as pa

RUN_ID = "wandb_run_id"  # file in the run's folder
_TABLE = "evaluation/episodes"
_EXIT_CODES: dict[Status, int] = {"FINISHED": 0, "FAILED": 1, "KILLED": 130}
_INIT_S, _FINISH_S = 30.0, 60.0  # W&B's own patience with a server that does not answer is unlimited at the end
_TAG = 64  # characters that W&B takes


class WandbSettings(TrackerSettings):
    """Runs in W&B's own form, in the run's folder.

    ``mode``: offline writes files and asks no server; online needs an API key (``wandb login``, or ``WANDB_API_KEY``). ``project``:
    the project there. ``entity``: the user or team there; None: the key's own."""

    title: ClassVar[str] = "Weights & Biases"
    library: ClassVar[str] = "wandb"
    extra: ClassVar[str] = "wandb"
    mode: Literal["offline", "online"] = "offline"
    project: str = "empg"
    entity: str | None = None

    def track_run(self, run: TrackedRun) -> Tracker:
        return WandbRun(self, run)


SETTINGS = WandbSettings


class WandbRun:
    """The cell is the group of its seeds. Metrics and evaluations are the history, the iteration its step.

    Each process of a run writes a folder of its own under the same run id. What W&B has not yet written when a process is killed is
    lost with it, so an offline run reads the files of its earlier processes, and logs what is not there.
    """

    def __init__(self, settings: WandbSettings, run: TrackedRun) -> None:
        self._settings, self._run = settings, run
        self._folder = run.folder / "wandb"
        self._refusals = Refusals("Weights & Biases", _is_refusal)
        self._logged: set[tuple[str, int]] = set()
        self._first = 0  # iterations before it are on the server

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._inside():
            import wandb

            if self._settings.mode == "online" and not wandb.login(prompt=False):  # else it asks for the key, and waits
                raise ValueError("there is no API key: run wandb login, or set WANDB_API_KEY")
            self._logged = {point for file in sorted(self._folder.glob("*/*.wandb")) for point in _points(file)}
            self._wandb = wandb.init(
                project=self._settings.project,
                entity=self._settings.entity,
                mode=self._settings.mode,
                id=self._id(),
                resume="allow" if self._settings.mode == "online" else None,
                name=self._run.name,
                group=self._run.cell,
                tags=[tag for tag in (f"{k}:{v}" for k, v in self._run.tags.items()) if len(tag) <= _TAG],
                config={**self._run.config, "tags": dict(self._run.tags)},
                dir=str(self._run.folder),
                settings=wandb.Settings(
                    silent=True, console="off", disable_git=True, save_code=False, x_disable_stats=True,
                    init_timeout=_INIT_S, finish_timeout=_FINISH_S,
                ),
            )  # fmt: skip
        self._first = self._wandb.step if self._wandb.resumed else 0

    def metrics(self, iteration: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            if self._is_new(name, iteration):
                with self._refusals.lose_only(name):
                    self._wandb.log({name: float(value)}, step=iteration)

    def evaluation(self, iteration: int, table: pa.Table) -> None:
        if self._is_new(_TABLE, iteration):
            with self._inside(), self._refusals.lose_only(_TABLE):
                import wandb

                rows = [list(row.values()) for row in table.to_pylist()]
                shown = wandb.Table(columns=table.column_names, data=rows, allow_mixed_types=True)
                self._wandb.log({_TABLE: shown}, step=iteration)

    def upload(self, results: Path, model: Path | None) -> None:
        """As artifacts that name the files and copy nothing."""
        with self._inside():
            import wandb

            for kind, folder in {"results": results, "model": model}.items():
                if folder is not None:
                    artifact = wandb.Artifact(f"{kind}-{self._wandb.id}", type=kind)
                    artifact.add_dir(str(folder), skip_cache=True, policy="immutable")
                    self._wandb.log_artifact(artifact)

    def end(self, status: Status) -> None:
        """W&B's service ends too: the process may track another run, in another folder."""
        with self._inside():
            import wandb

            self._wandb.summary["status"] = status
            self._wandb.finish(exit_code=_EXIT_CODES[status])
            wandb.teardown()

    # ---------------------------------------------------------------------------------------------------------------

    def _is_new(self, name: str, iteration: int) -> bool:
        return iteration >= self._first and (name, iteration) not in self._logged

    def _id(self) -> str:
        memory = self._run.folder / RUN_ID
        if not memory.exists():
            atomic_write_text(memory, uuid.uuid4().hex[:12])
        return memory.read_text("utf-8").strip()

    @contextmanager
    def _inside(self) -> Iterator[None]:
        """Caches, logs and temporary files of W&B go to the run's folder. It makes some of them when it is imported."""
        for name in ("CACHE", "DATA", "CONFIG", "ARTIFACT"):
            os.environ[f"WANDB_{name}_DIR"] = str(self._folder / name.lower())
        os.environ |= {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
        temporary = self._folder / "tmp"
        temporary.mkdir(exist_ok=True)
        with patch.object(tempfile, "tempdir", str(temporary)):
            yield


def _is_refusal(error: Exception) -> bool:
    from wandb.errors import UsageError

    return is_bad_value(error) or isinstance(error, UsageError)


def _points(file: Path) -> Iterator[tuple[str, int]]:
    """Names and steps of the history in an offline run's file."""
    from wandb.proto.wandb_internal_pb2 import Record

    for record in _records(file.read_bytes()):
        history = Record.FromString(record).history
        for item in history.item:
            yield item.key or item.nested_key[0], history.step.num


def _records(data: bytes) -> Iterator[bytes]:
    """The records of a file of W&B's, up to where it was cut off. It is LevelDB's log format after seven bytes of its own: blocks of
    32 KiB, in them a checksum, a length and a kind (whole, first, middle, last) before each part of a record
    (https://github.com/google/leveldb/blob/main/doc/log_format.md)."""
    block, header, at, parts = 1 << 15, struct.Struct("<IHB"), 7, b""
    while at + header.size <= len(data):
        if block - at % block < header.size:  # the rest of a block is too short for a header
            at += block - at % block
            continue
        _, length, kind = header.unpack_from(data, at)
        at += header.size
        if kind == 0 or at + length > len(data):
            return
        whole_or_first = kind in (1, 2)
        parts = (b"" if whole_or_first else parts) + data[at : at + length]
        at += length
        if kind in (1, 4):
            yield parts
