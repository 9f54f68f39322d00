"""Each tracker passes one kit: a recording one, and the three real ones with their libraries."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.tracking.guard import run_trackers
from pipelines.tracking.mlflow import MlflowSettings
from pipelines.tracking.mlflow.names import original
from pipelines.tracking.mlflow.run import RUN_ID
from pipelines.tracking.protocol import TrackedRun, TrackerSettings
from pipelines.tracking.tensorboard import TensorboardSettings
from pipelines.tracking.wandb import WandbSettings, _records
from tests.tracking.conformance import TrackerConformance
from tests.tracking.databases import with_mlflow
from tests.tracking.recording import RecordingSettings

ROOT = Path(__file__).parents[2]


class TestRecording(TrackerConformance):
    def make_settings(self, folder: Path) -> TrackerSettings:
        return RecordingSettings()

    def points(self, run: TrackedRun) -> list[tuple[str, int, float]]:
        names = ((key.rpartition("@"), value) for key, value in self._read(run)["points"].items())
        return [(name, int(step), value) for (name, _, step), value in names]

    def tables(self, run: TrackedRun) -> list[int]:
        return list(self._read(run)["tables"])

    def status(self, run: TrackedRun) -> str:
        return str(self._read(run)["status"])

    def _read(self, run: TrackedRun) -> Any:
        return json.loads((run.folder / "recording.json").read_text())


class TestMlflow(TrackerConformance):
    @pytest.fixture(autouse=True)
    def _copied(self, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        with_mlflow(tmp_path, tmp_path_factory)

    def make_settings(self, folder: Path) -> TrackerSettings:
        return MlflowSettings(uri=f"sqlite:///{folder / 'mlflow.db'}")

    def test_a_table_is_json_that_browsers_read(self, run: TrackedRun) -> None:
        tracker = self.begin(run)
        tracker.evaluation(0, pa.table({"score": [0.5, math.nan, math.inf]}))
        tracker.end("FINISHED")
        client, found = self._run(run)
        path = client.download_artifacts(found.info.run_id, "evaluations/iteration0000.json")
        strict = json.loads(Path(path).read_text(), parse_constant=lambda text: pytest.fail(text))
        assert strict == {"columns": ["score"], "data": [[0.5], [None], [None]]}

    def points(self, run: TrackedRun) -> list[tuple[str, int, float]]:
        client, found = self._run(run)
        history = [metric for key in found.data.metrics for metric in client.get_metric_history(found.info.run_id, key)]
        return [(original(metric.key), metric.step, metric.value) for metric in history]

    def tables(self, run: TrackedRun) -> list[int]:
        client, found = self._run(run)
        paths = [file.path for file in client.list_artifacts(found.info.run_id, "evaluations")]
        return sorted(int(Path(path).stem.removeprefix("iteration")) for path in paths)

    def status(self, run: TrackedRun) -> str:
        return str(self._run(run)[1].info.status)

    def kept(self, value: float) -> list[float]:
        return [value]  # escaped as any other mark

    def _run(self, run: TrackedRun) -> tuple[Any, Any]:
        from mlflow.tracking import MlflowClient

        client = MlflowClient(self.settings.uri)  # type: ignore[attr-defined]
        return client, client.get_run((run.folder / RUN_ID).read_text())


class TestTensorboard(TrackerConformance):
    def make_settings(self, folder: Path) -> TrackerSettings:
        return TensorboardSettings()

    def points(self, run: TrackedRun) -> list[tuple[str, int, float]]:
        scalars = [
            (value, step) for value, step in self._values(run) if value.metadata.plugin_data.plugin_name == "scalars"
        ]
        return [(value.tag, step, value.tensor.double_val[0]) for value, step in scalars]

    def tables(self, run: TrackedRun) -> list[int]:
        return [step for value, step in self._values(run) if value.tag == "evaluation/episodes"]

    def status(self, run: TrackedRun) -> str:
        texts = [value.tensor.string_val[0] for value, _ in self._values(run) if value.tag == "status"]
        return str(texts[-1].decode())

    def _values(self, run: TrackedRun) -> list[tuple[Any, int]]:
        """As TensorBoard's own reader has them, its upgrades of old events left out (they would carry a value on)."""
        from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

        files = sorted((run.folder / "tensorboard").glob("events.out.tfevents.*"))
        events = [event for file in files for event in LegacyEventFileLoader(str(file)).Load()]
        return [(value, event.step) for event in events for value in event.summary.value]

    def test_tensorboard_itself_shows_them(self, run: TrackedRun) -> None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from tensorboard.plugins.hparams.metadata import SESSION_END_INFO_TAG, SESSION_START_INFO_TAG

        for status in ("KILLED", "FINISHED"):
            tracker = self.begin(run)
            tracker.metrics(1, {"update/kl": 0.1})
            tracker.end(status)  # type: ignore[arg-type]
        accumulator = EventAccumulator(str(run.folder / "tensorboard"), {"tensors": 0})
        accumulator.Reload()
        assert set(accumulator.Tags()["tensors"]) >= {"update/kl", "configuration", "status"}
        (point,) = accumulator.Tensors("update/kl")
        assert point.tensor_proto.double_val[:] == [0.1]
        assert "| empg.zeta | 0.05 |" in accumulator.Tensors("configuration")[0].tensor_proto.string_val[0].decode()
        plugin = accumulator.PluginTagToContent("hparams")
        assert plugin.keys() == {SESSION_START_INFO_TAG, SESSION_END_INFO_TAG}
        assert b"empg.zeta" in plugin[SESSION_START_INFO_TAG]

    def test_a_file_that_was_cut_off_is_read_as_far_as_it_goes(self, run: TrackedRun) -> None:
        first = self.begin(run)
        first.metrics(0, {"a": 1.0})
        first.metrics(1, {"a": 2.0})
        first._writer.close()  # type: ignore[attr-defined]
        (file,) = (run.folder / "tensorboard").glob("events.out.tfevents.*")
        file.write_bytes(file.read_bytes()[:-5])
        second = self.begin(run)
        second.metrics(0, {"a": 1.0})
        second.metrics(1, {"a": 2.0})
        second.end("FINISHED")
        assert self.points(run) == [("a", 0, 1.0), ("a", 1, 2.0)]


class TestWandb(TrackerConformance):
    def make_settings(self, folder: Path) -> TrackerSettings:
        return WandbSettings()

    def points(self, run: TrackedRun) -> list[tuple[str, int, float]]:
        items = [(item, step) for item, step in self._history(run) if not item.nested_key[0].startswith("_")]
        values = [
            (item.nested_key[0], step, json.loads(item.value_json)) for item, step in items if len(item.nested_key) == 1
        ]
        return [(name, step, value) for name, step, value in values if isinstance(value, float | int)]

    def tables(self, run: TrackedRun) -> list[int]:
        return [step for item, step in self._history(run) if list(item.nested_key) == ["evaluation/episodes", "path"]]

    def status(self, run: TrackedRun) -> str:
        summaries = [item for record in self._record(run) for item in record.summary.update]
        return str(json.loads([item.value_json for item in summaries if "status" in (item.key, *item.nested_key)][-1]))

    def _history(self, run: TrackedRun) -> list[tuple[Any, int]]:
        return [(item, record.history.step.num) for record in self._record(run) for item in record.history.item]

    def _record(self, run: TrackedRun) -> list[Any]:
        from wandb.proto.wandb_internal_pb2 import Record

        files = sorted((run.folder / "wandb").glob("offline-run-*/run-*.wandb"))
        return [Record.FromString(record) for file in files for record in _records(file.read_bytes())]

    def test_nothing_is_asked_of_a_network_and_nothing_lies_outside_the_runs_folder(self, tmp_path: Path) -> None:
        """Two runs of one process, and one that is killed: a server of ours stands where W&B's would be, and as a proxy."""
        outside = {
            name: tmp_path / name for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
        }
        for folder in outside.values():
            folder.mkdir()
        program = (
            "import os, sys, pyarrow as pa\n"
            "from pathlib import Path\n"
            "from pipelines.tracking.protocol import TrackedRun\n"
            "from pipelines.tracking.wandb import WandbSettings\n"
            "for name in ('one', 'two', 'three'):\n"
            "    folder = Path(sys.argv[1]) / name\n"
            "    (folder / 'results').mkdir(parents=True)\n"
            "    (folder / 'results' / 'run.json').write_text('{}')\n"
            "    tracker = WandbSettings().track_run(TrackedRun(folder, name, 'cell', {}, {}))\n"
            "    tracker.start()\n"
            "    tracker.metrics(0, {'update/kl': 0.5})\n"
            "    tracker.evaluation(0, pa.table({'task_id': ['a']}))\n"
            "    tracker.upload(folder / 'results', None)\n"
            "    if name == 'three':\n"
            "        os._exit(0)\n"
            "    tracker.end('FINISHED')\n"
        )
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"http://127.0.0.1:{server.getsockname()[1]}"
            servers = dict.fromkeys(
                ("WANDB_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY", "https_proxy", "http_proxy"), address
            )
            environment = {**os.environ, **{k: str(v) for k, v in outside.items()}, **servers}
            command = [sys.executable, "-c", program, str(tmp_path / "runs")]
            done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
            assert (done.returncode, done.stderr) == (0, "")
            server.settimeout(1.0)
            with pytest.raises(TimeoutError):
                server.accept()
        assert {path.name for path in (tmp_path / "runs").iterdir()} == {"one", "two", "three"}
        assert [path for folder in outside.values() for path in folder.rglob("*")] == []

    def test_what_a_killed_process_lost_is_logged_again(self, tmp_path: Path, run: TrackedRun) -> None:
        """W&B writes when 32 KiB are full; what was not written is lost with its process."""
        pid = os.fork()
        if pid == 0:
            tracker = self.begin(run)
            for step in range(2000):
                tracker.metrics(step, {"update/kl": float(step)})
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        deadline = time.monotonic() + 20
        while not self.points(run) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert 0 < len(self.points(run)) < 2000
        tracker = self.begin(run)
        for step in range(2000):
            tracker.metrics(step, {"update/kl": float(step)})
        tracker.end("FINISHED")
        assert sorted(self.points(run)) == [("update/kl", step, float(step)) for step in range(2000)]

    def test_online_without_a_key_is_reported_and_not_asked_for(
        self, run: TrackedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv("WANDB_API_KEY", raising=False)
        run_trackers([WandbSettings(mode="online")], run).each(lambda tracker: tracker.start())
        (line,) = capsys.readouterr().err.splitlines()
        assert "WANDB_API_KEY" in line
