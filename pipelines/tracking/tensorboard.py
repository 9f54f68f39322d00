"""TensorBoard: event files in ``tensorboard/`` of the run's folder, so that ``tensorboard --logdir runs`` shows cells and seeds."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipelines.tracking.guard import Refusals
from pipelines.tracking.protocol import Pages, Status, TrackedRun, Tracker, TrackerSettings, flat

if TYPE_CHECKING:
    import pyarrow as pa

_FLUSH_S = 15.0
_TABLE, _STATUS, _CONFIGURATION = "evaluation/episodes", "status", "configuration"


class TensorboardSettings(TrackerSettings):
    """Event files in the run's folder. It has no setting."""

    title: ClassVar[str] = "TensorBoard"
    library: ClassVar[str] = "tensorboard"
    extra: ClassVar[str] = "tensorboard"

    def track_run(self, run: TrackedRun) -> Tracker:
        return TensorboardRun(run)

    def pages(self, runs: Path, port: int) -> Pages:
        command = [sys.executable, "-m", "tensorboard.main", f"--logdir={runs}", "--host=127.0.0.1", f"--port={port}"]
        return Pages(command, {}, lambda: {self.title: f"http://127.0.0.1:{port}/"})


SETTINGS = TensorboardSettings


class TensorboardRun:
    """Scalars by iteration in double precision; texts for the configuration, each evaluation and the status; the configuration also
    as hyperparameters, with the cell as the group of its seeds.

    Each process of a run writes a file of its own. It first reads those of earlier processes, and writes no point again. A file
    whose end was lost with its process is read up to there.
    """

    def __init__(self, run: TrackedRun) -> None:
        self._run, self._folder = run, run.folder / "tensorboard"
        self._refusals = Refusals("TensorBoard")
        self._logged: set[tuple[str, int]] = set()

    def start(self) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._logged = {point for file in self._folder.glob("events.out.tfevents.*") for point in _points(file)}
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time():017.6f}.{socket.gethostname()}.{os.getpid()}"
        # Not TensorBoard's own writer, whose thread says a full disk with a traceback.
        self._writer = RecordWriter((self._folder / name).open("xb"))
        self._writer.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        if (_CONFIGURATION, 0) not in self._logged:
            values = dict(flat({**self._run.config, "tags": self._run.tags}))
            self._text(_CONFIGURATION, 0, _markdown(["value of", "is"], [[k, v] for k, v in values.items()]))
            known = {
                key: value if isinstance(value, (bool, int, float, str)) else str(value)
                for key, value in values.items()
            }
            with self._refusals.lose_only("the hyperparameters"):
                self._write(0, hparams_pb(known, trial_id=self._run.cell))
        self._flush()

    def metrics(self, iteration: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            if (name, iteration) not in self._logged:
                with self._refusals.lose_only(name):
                    self._write(iteration, _scalar(name, float(value)))
        if time.monotonic() - self._flushed > _FLUSH_S:
            self._flush()

    def evaluation(self, iteration: int, table: pa.Table) -> None:
        if (_TABLE, iteration) not in self._logged:
            rows = [list(row.values()) for row in table.to_pylist()]
            self._text(_TABLE, iteration, _markdown(table.column_names, rows))

    def upload(self, results: Path, model: Path | None) -> None:
        """TensorBoard has no files: they lie beside its own."""

    def end(self, status: Status) -> None:
        """Of the hyperparameters' page, TensorBoard reads a run's first end: only the last process knows that it is."""
        step = sum(tag == _STATUS for tag, _ in self._logged)
        self._text(_STATUS, step, status)
        if status == "FINISHED":
            self._write(step, _session_end())
        self._writer.close()

    # ---------------------------------------------------------------------------------------------------------------

    def _text(self, tag: str, step: int, text: str) -> None:
        from tensorboard.plugins.text.summary_v2 import text_pb

        with self._refusals.lose_only(tag):
            self._write(step, text_pb(tag, text))

    def _write(self, step: int, summary: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.write(Event(wall_time=time.time(), step=step, summary=summary).SerializeToString())

    def _flush(self) -> None:
        self._writer.flush()
        self._flushed = time.monotonic()


def _points(file: Path) -> Iterator[tuple[str, int]]:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    for event in EventFileLoader(str(file)).Load():
        for value in event.summary.value:
            yield value.tag, event.step


def _scalar(tag: str, value: float) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.plugins.scalar.metadata import create_summary_metadata

    tensor = TensorProto(double_val=[value], dtype="DT_DOUBLE")
    metadata = create_summary_metadata(display_name="", description="")
    return Summary(value=[Summary.Value(tag=tag, tensor=tensor, metadata=metadata)])


def _session_end() -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=time.time())
    made = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=end))
    return Summary(value=[Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=made, tensor=metadata.NULL_TENSOR)])


def _markdown(columns: list[str], rows: list[list[Any]]) -> str:
    lines: list[list[Any]] = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(_cell(value) for value in line)} |" for line in lines)


def _cell(value: Any) -> str:
    return " ".join(str(value).replace("|", "\\|").split())
