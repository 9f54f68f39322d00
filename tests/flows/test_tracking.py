"""MLflow on a real SQLite database: everything is logged, a resumed run goes on in the same MLflow run."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from flows.mlflow_database import Database, create_database, warn
from flows.tracking import RUN_ID, Tracker

INFO: dict[str, Any] = {
    "cell": "cell", "seed": 3, "fingerprint": "f" * 64, "panel_sha256": "p" * 64, "panel_size": 2, "commit": "c" * 40,
    "config": {
        "scale": "test", "benchmark": {"name": "alfworld"}, "model": {"name": "m"}, "algorithm": {"name": "grpo"},
        "empg": {"arm": "full", "zeta": 0.05},
    },
}  # fmt: skip


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    create_database(uri)
    return uri


def test_a_run_and_its_resumption(uri: str, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    results, folder = tmp_path / "results", tmp_path / "run"
    for made in (results, folder):
        made.mkdir()
    (results / "run.json").write_text("{}")
    (folder / "params.yaml").write_text("seed: 3")

    first = Tracker(uri, folder)
    first.start(INFO)
    first.metrics(1, {"rollout/success": 0.25, "update/kl": 0.01})
    first.flush()  # and the process is killed

    second = Tracker(uri, folder)
    second.start(INFO)
    second.metrics(1, {"rollout/success": 0.25, "update/kl": 0.01})  # found again, not logged again
    second.metrics(2, {"rollout/success": 0.5})
    second.evaluation(2, pa.table({"task_id": ["a"], "success": [True]}))
    second.upload(results, None)
    second.end("FINISHED")

    client = MlflowClient(uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "empg"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["empg.zeta"] == "0.05"
    for tag, value in {"seed": "3", "empg": "full", "panel_sha256": "p" * 64, "config_fingerprint": "f" * 64}.items():
        assert run.data.tags[tag] == value
    history = client.get_metric_history(run.info.run_id, "rollout/success")
    assert [(m.step, m.value) for m in history] == [(1, 0.25), (2, 0.5)]
    assert {a.path for a in client.list_artifacts(run.info.run_id)} == {"evaluations", "params.yaml", "results"}


def test_a_broken_database_warns_once_and_the_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPG_MLFLOW_DOWN", "")  # and back, after the test
    (tmp_path / "mlflow.db").write_bytes(b"this is no database, whatever its name says" * 99)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    create_database(uri)
    assert "the launch goes on without it" in capsys.readouterr().err
    for told in (True, False):  # by the launch; by nobody, where it broke later
        if not told:
            monkeypatch.delenv("EMPG_MLFLOW_DOWN")
        tracker = Tracker(uri, tmp_path)
        tracker.start(INFO)
        tracker.metrics(1, {"x": 1.0})
        tracker.evaluation(1, pa.table({"task_id": ["a"]}))
        tracker.end("FINISHED")
        said = capsys.readouterr().err
        assert said.count("this run is logged no further") == len(said.splitlines()) == (not told)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://u:secret@h:5432/db", "postgresql://u:***@h:5432/db"),
        ("postgresql+psycopg://u:se/cret@h/db", "postgresql+psycopg://u:***@h/db"),
        ("postgresql://u:secret@secret@h/db", "postgresql://u:***@h/db"),
        ("mysql://:secret@h/db", "mysql://:***@h/db"),
        ("postgresql://h:5432/db?user=u&password=secret@secret", "postgresql://h:5432/db?user=u&password=***"),
        ("postgresql://h/db?sslpassword=secret&user=u", "postgresql://h/db?sslpassword=***&user=u"),
        ("https://u:secret@[::1]:5000", "https://u:***@[::1]:5000"),
        ("postgresql://u@h:5432/db", "postgresql://u@h:5432/db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("sqlite:////home/a@b/c:d.db", "sqlite:////home/a@b/c:d.db"),
        ("no uri: secret's@", "no uri: secret's@"),
    ],
)
def test_passwords_are_not_shown(uri: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor are they in what a library says of the address."""
    warn(f"MLflow at {uri} failed", OSError(f"cannot open {uri} here"))
    assert capsys.readouterr().err == f"warning: MLflow at {shown} failed: cannot open {shown} here\n"


def test_a_postgresql_that_does_not_answer_is_not_waited_for_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What psycopg makes of it; the address may say another time."""
    from psycopg.conninfo import conninfo_to_dict, timeout_from_conninfo

    monkeypatch.setenv("PGCONNECT_TIMEOUT", os.environ["PGCONNECT_TIMEOUT"])  # set on import
    assert timeout_from_conninfo(conninfo_to_dict("postgresql://u@h/db")) == 5
    assert timeout_from_conninfo(conninfo_to_dict("postgresql://u@h/db?connect_timeout=30")) == 30


def test_a_run_that_was_deleted_on_the_page_is_begun_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As MLflow has it: such a run is found, and can be changed no more."""
    stages = {"first": "deleted", "second": "active"}
    changed: list[str] = []
    client = SimpleNamespace(
        get_run=lambda run: SimpleNamespace(
            info=SimpleNamespace(lifecycle_stage=stages[run]), data=SimpleNamespace(metrics={})
        ),
        get_experiment_by_name=lambda name: SimpleNamespace(experiment_id="1"),
        create_run=lambda *_, **__: SimpleNamespace(info=SimpleNamespace(run_id="second")),
        set_terminated=lambda run, status: changed.append(run),
        log_batch=lambda run, **_: changed.append(run),
    )
    monkeypatch.setattr(Database, "_connect", lambda self: setattr(self, "client", client))
    (tmp_path / RUN_ID).write_text("first")
    for _ in range(2):
        Tracker("sqlite://", tmp_path).start(INFO)
        assert (tmp_path / RUN_ID).read_text() == "second"
    assert set(changed) == {"second"}
    assert capsys.readouterr().err == ""


def test_a_server_that_is_down_is_told_by_the_launch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPG_MLFLOW_DOWN", "")
    create_database("http://127.0.0.1:9")
    tracker = Tracker("http://127.0.0.1:9", tmp_path)
    tracker.start(INFO)
    tracker.end("FINISHED")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: MLflow at http://127.0.0.1:9 cannot be opened, the launch goes on without it: ")
