"""MLflow on a real SQLite database: everything is logged, a resumed run goes on in the same MLflow run."""

from __future__ import annotations

import math
import os
import sqlite3
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.tracking.guard import prepare, run_trackers, warn
from pipelines.tracking.mlflow import MlflowSettings
from pipelines.tracking.mlflow.database import Database
from pipelines.tracking.mlflow.names import acceptable, original
from pipelines.tracking.mlflow.owed import owe, owed, settle
from pipelines.tracking.mlflow.run import RUN_ID, MlflowRun
from pipelines.tracking.protocol import TrackedRun
from tests.tracking.databases import with_mlflow


@pytest.fixture
def uri(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return f"sqlite:///{with_mlflow(tmp_path, tmp_path_factory)}"


@pytest.fixture
def run(tmp_path: Path) -> TrackedRun:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "params.yaml").write_text("seed: 3")
    return TrackedRun(folder, "grpo full seed3", "cell", {"seed": "3"}, {"scale": "test", "empg": {"zeta": 0.05}})


def logged(uri: str, run: TrackedRun) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(uri).get_run((run.folder / RUN_ID).read_text())


def test_a_run_and_its_resumption(uri: str, run: TrackedRun, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    results = tmp_path / "results"
    results.mkdir()
    (results / "run.json").write_text("{}")

    first = MlflowRun(uri, run)
    first.start()
    first.metrics(1, {"rollout/success": 0.25, "update/kl": 0.01})
    first.evaluation(1, pa.table({"task_id": ["a"]}))
    first._deliver()  # and the process is killed

    second = MlflowRun(uri, run)
    second.start()
    second.metrics(1, {"rollout/success": 0.5, "update/kl": 0.01})  # found again, not logged again
    second.metrics(2, {"rollout/success": 0.5})
    second.evaluation(2, pa.table({"task_id": ["a"], "success": [True]}))
    second.upload(results, None)
    second.end("FINISHED")

    client = MlflowClient(uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "empg"]
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.status, found.info.run_name) == ("FINISHED", "grpo full seed3")
    assert found.data.params["empg.zeta"] == "0.05"
    assert (found.data.tags["seed"], found.data.tags["level"]) == ("3", "run")
    history = client.get_metric_history(found.info.run_id, "rollout/success")
    assert [(m.step, m.value) for m in history] == [(1, 0.25), (2, 0.5)]
    assert {a.path for a in client.list_artifacts(found.info.run_id)} == {"evaluations", "params.yaml", "results"}


def test_names_that_mlflow_refuses_are_made_acceptable(uri: str, run: TrackedRun) -> None:
    """A task type may be a folder's name. Nothing is lost, and the next values are logged as ever."""
    name = "evaluation/hotpotqa@v1.1 (dev, 100%)/success"
    tracker = MlflowRun(uri, run)
    tracker.start()
    tracker.metrics(0, {name: 0.75, "": 1.0, "/a//../b": 2.0, "x" * 300: 3.0, "update/kl": 0.5})
    tracker.metrics(1, {"evaluation/success": 0.5})
    tracker.end("FINISHED")
    found = logged(uri, run)
    assert found.info.status == "FINISHED"
    assert {original(key): value for key, value in found.data.metrics.items() if len(key) < 250} == {
        name: 0.75, "": 1.0, "/a//../b": 2.0, "update/kl": 0.5, "evaluation/success": 0.5,
    }  # fmt: skip
    assert sorted(found.data.metrics.values()) == [0.5, 0.5, 0.75, 1.0, 2.0, 3.0]


def test_a_value_that_mlflow_refuses_is_lost_alone(
    uri: str, run: TrackedRun, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if its names were not made acceptable: one warning a name, however often it comes."""
    monkeypatch.setattr("pipelines.tracking.mlflow.run.acceptable", lambda name: name)
    config = {"fine": 1, "bad@": 2, "long": "v" * 9000}
    tracker = MlflowRun(uri, TrackedRun(run.folder, run.name, "cell", {}, config))
    tracker.start()
    for iteration in range(3):
        tracker.metrics(iteration, {"loss%": 1.0, "update/kl": 0.5, "nan": math.nan, "inf": math.inf})
    tracker.end("FAILED")
    found = logged(uri, run)
    assert found.info.status == "FAILED"
    assert found.data.metrics.keys() == {"update/kl", "nan", "inf"}
    assert math.isnan(found.data.metrics["nan"])
    assert found.data.params["fine"] == "1"
    assert found.data.params["long"].startswith("vvv")
    errors = capsys.readouterr().err
    assert errors.count("bad@, which") == errors.count("loss%, which") == 1
    assert len(errors.splitlines()) == 2


@given(st.text(max_size=60))
@example("_x40_@x1_")
@example("a/./b/../..c/.d")
@example("\n")
def test_every_name_becomes_one_that_mlflow_takes_and_back(name: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    _validate_metric_name(acceptable(name))
    if len(acceptable(name)) < 250:
        assert original(acceptable(name)) == name


def test_names_in_use_stay_as_they_are_and_long_ones_stay_apart() -> None:
    for name in ("credit/g_max", "evaluation/pick_and_place", "seconds/rollout", "a.b c-d:e"):
        assert acceptable(name) == name
    one, other = acceptable("n" * 300 + "1"), acceptable("n" * 300 + "2")
    assert one != other
    assert len(one) == len(other) == 250


def test_a_database_that_is_locked_for_a_while_costs_nothing(
    uri: str, run: TrackedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is logged meanwhile waits, in order; the run's page is whole in the end."""
    monkeypatch.setattr("pipelines.tracking.mlflow.run._FLUSH_S", -1.0)  # at once
    tracker = MlflowRun(f"{uri}?timeout=0.2", run)
    tracker.start()
    tracker.metrics(0, {"update/kl": 0.0})
    with sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None) as lock:
        lock.execute("begin exclusive")
        monkeypatch.setattr(tracker._client._deadline, "_seconds", 0.3)
        for iteration in range(1, 4):
            tracker.metrics(iteration, {"update/kl": iteration / 4})
        tracker.evaluation(3, pa.table({"task_id": ["a"]}))
        assert uri in capsys.readouterr().err
        lock.execute("rollback")
    monkeypatch.setattr(tracker._client._deadline, "_seconds", 60.0)
    tracker.end("FINISHED")
    from mlflow.tracking import MlflowClient

    client, found = MlflowClient(uri), logged(uri, run)
    assert found.info.status == "FINISHED"
    history = client.get_metric_history(found.info.run_id, "update/kl")
    assert [(m.step, m.value) for m in history] == [(0, 0.0), (1, 0.25), (2, 0.5), (3, 0.75)]
    assert [a.path for a in client.list_artifacts(found.info.run_id)] == ["evaluations"]


def test_what_a_locked_database_was_not_told_is_told_later(
    uri: str, run: TrackedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is locked until the run has ended; another process completes the page, and no point is there twice."""
    monkeypatch.setattr("pipelines.tracking.mlflow.run._FLUSH_S", -1.0)  # at once
    settings = MlflowSettings(uri=uri)
    tracker = MlflowRun(uri, run)
    tracker.start()
    tracker.metrics(0, {"update/kl": 0.0, "nan": math.nan})
    with sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None) as lock:
        lock.execute("begin exclusive")
        monkeypatch.setattr(tracker._client._deadline, "_seconds", 0.2)
        for iteration in (1, 2):
            tracker.metrics(iteration, {"update/kl": iteration / 4, "inf": math.inf})
        tracker.end("FINISHED")
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 2
        assert str(run.folder) in said[1]
        assert "flows.sync" in said[1]
        assert settings.owes(run.folder)
        assert not MlflowSettings(uri="sqlite:///another.db").owes(run.folder)
        lock.execute("rollback")
    for thread in threading.enumerate():
        if thread.name == "with a deadline":
            thread.join()
    later = settings.track_run(run)
    later.start()
    later.metrics(1, {"update/kl": 0.25})  # from the run's results
    later.end("FINISHED")
    from mlflow.tracking import MlflowClient

    client, found = MlflowClient(uri), logged(uri, run)
    assert found.info.status == "FINISHED"
    history = client.get_metric_history(found.info.run_id, "update/kl")
    assert [(m.step, m.value) for m in history] == [(0, 0.0), (1, 0.25), (2, 0.5)]
    assert [m.step for m in client.get_metric_history(found.info.run_id, "inf")] == [1, 2]
    assert not settings.owes(run.folder)
    assert len(client.search_runs([found.info.experiment_id])) == 1


def test_a_database_that_hangs_is_asked_twice_in_a_run(
    run: TrackedRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """However long the run is: so what it costs is bounded."""
    monkeypatch.setattr("pipelines.tracking.mlflow.run._PATIENCE_S", 0.0)
    monkeypatch.setattr("pipelines.tracking.mlflow.run._PAUSE_S", 0.0)
    asked: list[str] = []

    def hang(*_: object, **__: object) -> None:
        asked.append("asked")
        raise TimeoutError("it did not answer")

    client = SimpleNamespace(get_experiment_by_name=hang, search_runs=hang, create_run=hang)
    monkeypatch.setattr(Database, "client", client)
    settings = MlflowSettings(uri="sqlite://")
    tracker = settings.track_run(run)
    tracker.start()
    for iteration in range(50):
        tracker.evaluation(iteration, pa.table({"task_id": ["a"]}))
        tracker.metrics(iteration, {"update/kl": 0.5})
    tracker.end("FINISHED")
    assert len(asked) == 2
    assert settings.owes(run.folder)


def test_a_page_that_is_owed_by_a_damaged_note_is_still_owed(
    run: TrackedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = MlflowSettings(uri="sqlite://")
    assert not settings.owes(run.folder)
    settings.owe(run.folder)
    (note,) = (path for path in run.folder.iterdir() if "mlflow" in path.name)
    note.write_bytes(note.read_bytes()[:-1])
    assert settings.owes(run.folder)
    assert str(note) in capsys.readouterr().err


def test_each_database_is_owed_its_own(run: TrackedRun) -> None:
    point = ("update/kl", math.inf, 1, 5)
    owe(run.folder, "sqlite:///one.db", [point])
    owe(run.folder, "sqlite:///two.db")
    assert owed(run.folder, "sqlite:///one.db") == [point]
    assert owed(run.folder, "sqlite:///two.db") == []
    assert owed(run.folder, "sqlite:///three.db") is None
    settle(run.folder, "sqlite:///two.db")
    assert owed(run.folder, "sqlite:///two.db") is None
    assert owed(run.folder, "sqlite:///one.db") == [point]
    settle(run.folder, "sqlite:///one.db")
    assert list(run.folder.glob("*undelivered*")) == []


def test_a_run_whose_making_was_given_up_is_found_again(
    uri: str, run: TrackedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a database is locked for longer than the deadline: the call succeeds, and its answer is lost."""
    from mlflow.tracking import MlflowClient

    create, made = MlflowClient.create_run, list[str]()

    def lose_the_answer(*arguments: Any, **named: Any) -> None:
        made.append(create(*arguments, **named).info.run_id)
        raise TimeoutError("it did not answer")

    monkeypatch.setattr(MlflowClient, "create_run", lose_the_answer)
    for _ in range(2):  # and a later launch
        tracker = MlflowRun(uri, run)
        tracker.start()
        tracker._not_before = 0.0
        tracker.metrics(1, {"update/kl": 0.5})
        tracker.end("FINISHED")
    assert [logged(uri, run).info.run_id] == made
    assert logged(uri, run).info.status == "FINISHED"
    client = MlflowClient(uri)
    (found,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert found.data.metrics == {"update/kl": 0.5}


def test_a_folder_that_was_made_anew_is_another_run(uri: str, run: TrackedRun) -> None:
    ids = []
    for _ in range(2):
        tracker = MlflowRun(uri, run)
        tracker.start()
        ids.append((run.folder / RUN_ID).read_text())
        for path in run.folder.glob("mlflow*"):
            path.unlink()
    assert len(set(ids)) == 2


def test_a_broken_database_does_not_stop_the_run(
    run: TrackedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is no database, whatever its name says" * 99)
    settings = MlflowSettings(uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert prepare([settings, settings], "the launch goes on without it") == [settings.key]
    (line,) = capsys.readouterr().err.splitlines()
    assert settings.uri in line
    trackers = run_trackers([settings], run)
    trackers.each(lambda tracker: tracker.start())
    trackers.each(lambda tracker: tracker.metrics(1, {"x": 1.0}))
    trackers.each(lambda tracker: tracker.evaluation(1, pa.table({"task_id": ["a"]})))
    assert len(capsys.readouterr().err.splitlines()) == 1
    trackers.each(lambda tracker: tracker.end("FINISHED"))
    (line,) = capsys.readouterr().err.splitlines()
    assert str(run.folder) in line


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
    run: TrackedRun, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As MLflow has it: such a run is found, and can be changed no more."""
    stages = {"first": "deleted", "second": "active"}
    changed: list[str] = []
    client = SimpleNamespace(
        get_run=lambda run: SimpleNamespace(
            info=SimpleNamespace(lifecycle_stage=stages[run], status="RUNNING"), data=SimpleNamespace(metrics={})
        ),
        get_experiment_by_name=lambda name: SimpleNamespace(experiment_id="1"),
        search_runs=lambda *_, **__: [],
        create_run=lambda *_, **__: SimpleNamespace(info=SimpleNamespace(run_id="second")),
        set_terminated=lambda run, status: changed.append(run),
        log_batch=lambda run, **_: changed.append(run),
    )
    monkeypatch.setattr(Database, "client", client)
    (run.folder / RUN_ID).write_text("first")
    for _ in range(2):
        MlflowRun("sqlite://", run).start()
        assert (run.folder / RUN_ID).read_text() == "second"
    assert set(changed) == {"second"}
    assert capsys.readouterr().err == ""


def test_a_server_that_is_down_is_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    settings = MlflowSettings(uri="http://127.0.0.1:9")
    assert prepare([settings], "the launch goes on without it") == [settings.key]
    (line,) = capsys.readouterr().err.splitlines()
    assert "http://127.0.0.1:9" in line


def test_points_wait_for_more_and_go_together(run: TrackedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch costs the database as much as a point: an evaluation, which is logged at once, sends none of them."""
    batches: list[int] = []
    client = SimpleNamespace(
        get_experiment_by_name=lambda name: SimpleNamespace(experiment_id="1"),
        search_runs=lambda *_, **__: [],
        get_run=lambda run: SimpleNamespace(data=SimpleNamespace(metrics={})),
        create_run=lambda *_, **__: SimpleNamespace(info=SimpleNamespace(run_id="new")),
        log_batch=lambda run, metrics=(), params=(): batches.extend([len(metrics)] * bool(metrics)),
        log_text=lambda *_: None,
        set_terminated=lambda *_: None,
    )
    monkeypatch.setattr(Database, "client", client)
    tracker = MlflowRun("sqlite://", run)
    tracker.start()
    for iteration in range(25):
        tracker.evaluation(iteration, pa.table({"task_id": ["a"]}))
        tracker.metrics(iteration, {f"m{i}": 0.5 for i in range(50)})
    tracker.end("FINISHED")
    assert batches == [1000, 250]


def test_a_call_that_succeeds_when_it_is_repeated_leaves_no_trace_of_its_failure(
    uri: str, run: TrackedRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = MlflowRun(uri, run)
    tracker.start()
    tags = logged(uri, run).data.tags
    client = tracker._client
    log_text, failures = client.log_text, [OSError("away for a moment")]

    def fails_once(*values: str) -> None:
        if failures:
            raise failures.pop()
        log_text(*values)

    monkeypatch.setattr(client, "log_text", fails_once)
    tracker.evaluation(0, pa.table({"task_id": ["a"]}))
    tracker.end("FINISHED")
    found = logged(uri, run)
    assert failures == []
    assert [file.path for file in client.list_artifacts(found.info.run_id)] == ["evaluations"]
    assert found.data.tags == tags
    assert capsys.readouterr().err == ""


def test_files_that_cannot_be_kept_cost_themselves_and_are_owed(
    uri: str, run: TrackedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The place of MLflow's files is not its database: there, a file stands where its folder should."""
    (tmp_path / "mlartifacts").write_text("no folder")
    tracker = MlflowRun(uri, run)
    tracker.start()
    for iteration in range(2):
        tracker.evaluation(iteration, pa.table({"task_id": ["a"]}))
        tracker.metrics(iteration, {"update/kl": 0.5})
    tracker.upload(tmp_path / "nowhere", None)
    tracker.end("FINISHED")
    found = logged(uri, run)
    assert (found.info.status, found.data.metrics) == ("FINISHED", {"update/kl": 0.5})
    warnings = capsys.readouterr().err.splitlines()
    lost = [next(name for name in ("evaluations", "results") if name in line) for line in warnings]
    assert lost == ["evaluations", "results"]
    assert MlflowSettings(uri=uri).owes(run.folder)
