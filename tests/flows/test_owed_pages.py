"""The page of a finished run is completed from its results, and that of a killed run ended, by ``python -m flows.sync`` or any
launch in the folder."""

from __future__ import annotations

import json
import sqlite3
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from flows import sync
from flows.configure.compose import compose
from flows.windows.owed_pages import complete_pages
from flows.windows.tracked import begun_run
from pipelines.run_folder import run_folder, run_lock, write_params
from pipelines.tracking.mlflow import MlflowSettings
from pipelines.tracking.mlflow.run import MlflowRun
from tests.reporting.results import write_run
from tests.tracking.databases import with_mlflow


def settings() -> MlflowSettings:
    """MLflow keeps what it has opened by its address: a relative one would be another test's."""
    return MlflowSettings(uri=f"sqlite:///{Path.cwd() / 'mlflow.db'}")


def synced() -> int:
    return sync.main([f"execution.trackers.mlflow.uri={settings().uri}"])


@pytest.fixture
def run(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run of which MLflow knows nothing, in the working folder; its model is in the store."""
    monkeypatch.chdir(tmp_path)
    with_mlflow(tmp_path, tmp_path_factory)
    folder = tmp_path / "runs" / "cell" / "seed3"
    write_run(
        folder / "results", "grpo", "full", 3, {0: [0, 1], 2: [1, 1]}, said={"columns": [], "checkpoint": "update/abc"}
    )
    (folder / "params.yaml").write_text("seed: 3")
    model = tmp_path / "artifacts" / "update" / "abc" / "model"
    model.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(b"weights")
    settings().owe(folder)
    return folder


def page() -> Any:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(settings().uri)
    (found,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    return client, found


def test_a_page_is_completed_from_the_results(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert synced() == 0
    assert str(run.relative_to(Path.cwd())) in capsys.readouterr().out
    client, found = page()
    assert (found.info.status, found.data.tags["seed"]) == ("FINISHED", "3")
    assert [(m.step, m.value) for m in client.get_metric_history(found.info.run_id, "update/kl")] == [
        (1, 0.01),
        (2, 0.02),
    ]
    files = {artifact.path for artifact in client.list_artifacts(found.info.run_id)}
    assert files == {"params.yaml", "results", "model", "evaluations"}
    names = [artifact.path for artifact in client.list_artifacts(found.info.run_id, "evaluations")]
    assert len(names) == 2
    table = json.loads((Path.cwd() / found.info.artifact_uri.removeprefix("file://") / names[1]).read_text())
    assert len(table["data"]) == 2
    assert "iteration" not in table["columns"]
    assert synced() == 0  # nothing is left to do
    assert capsys.readouterr().out == ""


def test_a_database_that_is_still_locked_is_asked_once_for_all(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = run.with_name("seed4")
    write_run(other / "results", "grpo", "full", 4, {0: [0, 1]}, said={"columns": []})
    (other / "params.yaml").write_text("seed: 4")
    settings().owe(other)
    monkeypatch.setattr("pipelines.tracking.mlflow.database._ANSWER_S", 0.5)
    with sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None) as lock:
        lock.execute("begin exclusive")
        assert synced() == 1
        lock.execute("rollback")
    printed = capsys.readouterr()
    assert len(printed.err.splitlines()) == 1
    assert len(printed.out.splitlines()) == 2
    assert settings().owes(run)
    assert settings().owes(other)


def test_a_run_that_is_executed_or_damaged_waits_for_its_launch(run: Path) -> None:
    with run_lock(run):
        assert synced() == 0
    table = run / "results" / "metrics.parquet"
    table.write_bytes(table.read_bytes()[:-1])
    assert synced() == 0
    assert settings().owes(run)


def begun(seed: int) -> tuple[Path, str]:
    """A run whose process was killed in its first iteration, and its page's id."""
    config = compose([f"seed={seed}", f"execution.trackers.mlflow.uri={settings().uri}"])
    folder = run_folder(config)
    folder.mkdir(parents=True)
    write_params(folder, config)
    settings().track_run(begun_run(folder)).start()
    return folder, (folder / "mlflow_run_id").read_text()


def test_the_page_of_a_killed_run_is_ended_and_goes_on(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mlflow.tracking import MlflowClient

    (run / "mlflow_undelivered.json").unlink()
    (killed, page), client = begun(4), MlflowClient(settings().uri)
    with run_lock(killed):  # its process is there
        assert synced() == 0
        assert capsys.readouterr().out == ""
    assert client.get_run(page).info.status == "RUNNING"
    assert synced() == 0
    assert capsys.readouterr().out == f"killed: {killed}\n"
    found = client.get_run(page)
    assert (found.info.status, found.info.run_name) == ("KILLED", "grpo full seed4 · alfworld qwen2.5-1.5b laptop")
    assert (found.data.tags["seed"], found.data.tags["cell"]) == ("4", "laptop-alfworld-qwen2.5-1.5b-grpo-full")
    assert synced() == 0
    assert capsys.readouterr().out == ""  # told once
    settings().track_run(begun_run(killed)).start()
    assert client.get_run(page).info.status == "RUNNING"


def test_a_run_that_is_launched_again_at_that_moment_stays_owed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed, _ = begun(4)
    with ExitStack() as launched:
        end = MlflowRun.end

        def ends(self: MlflowRun, status: Any) -> None:
            end(self, status)
            if status == "KILLED":
                launched.enter_context(run_lock(killed))

        monkeypatch.setattr(MlflowRun, "end", ends)
        assert synced() == 0
        assert settings().owes(killed)


def test_parameters_that_are_damaged_wait_for_the_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "results" / "run.json").unlink()
    for damaged in ("seed: 3", "algorithm: 7", "- a", "a: ["):
        (run / "params.yaml").write_text(damaged)
        assert synced() == 1
        said = capsys.readouterr()
        assert said.err.startswith("warning: the page of runs/cell/seed3 waits for its next launch: ")
        assert (said.out, len(said.err.splitlines())) == ("still waits: runs/cell/seed3\n", 1)
    assert settings().owes(run)


def test_a_launch_ends_no_page_of_a_killed_run(run: Path) -> None:
    """Its runs may be another launch's, still to come."""
    (run / "mlflow_undelivered.json").unlink()
    killed, _ = begun(4)
    config = compose([f"execution.trackers.mlflow.uri={settings().uri}"])
    assert list(complete_pages(config)) == []
    assert settings().owes(killed)


def test_a_launch_leaves_alone_what_its_own_runs_have_just_tried(run: Path) -> None:
    """A tracker that failed them would be waited for once more."""
    config = compose([f"execution.trackers.mlflow.uri={settings().uri}"])
    assert list(complete_pages(config, [run.relative_to(Path.cwd())])) == []
    assert settings().owes(run)


def test_without_a_debt_no_tracker_is_opened(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run / "mlflow_undelivered.json").unlink()
    monkeypatch.setattr(MlflowSettings, "prepare", lambda self: pytest.fail("it was opened"))
    assert synced() == 0
