"""What trackers and tables are given: never a success that was none."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from flows.configure.compose import compose
from flows.job import run_job
from flows.launch.context import current_launch
from flows.launch.execution import Failure
from flows.windows import final_tables, stages
from flows.windows.opened import Windows, windows
from flows.windows.tracked import open_trackers
from pipelines.config import RunConfig
from pipelines.errors import EngineDied
from pipelines.run_folder import run_folder
from tests.flows.launches import launched
from tests.flows.test_jobs import jobs_of
from tests.pipelines.run_records import record
from tests.pipelines.runs import small_config
from tests.tracking.recording import RecordingSettings


def test_what_the_launch_could_not_open_is_closed_for_its_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose(["tracker=[mlflow,tensorboard]"])
    mlflow, tensorboard = open_trackers(config)
    assert (mlflow.title, tensorboard.title) == ("MLflow", "TensorBoard")
    launched(tmp_path / "launch", monkeypatch, closed_trackers=(mlflow.key,))
    assert open_trackers(config) == [tensorboard]


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), "KILLED"), (EngineDied("no GPU"), "FAILED"), (ValueError("a bug"), "FAILED")]
)  # fmt: skip
def test_trackers_are_given_how_a_run_ended(
    error: BaseException, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_experiment(config: RunConfig, observer: Any) -> None:
        run_folder(config).mkdir(parents=True, exist_ok=True)
        observer.run_started(record())
        raise error

    monkeypatch.setattr("pipelines.experiment.run_experiment", run_experiment)
    monkeypatch.setattr("flows.windows.observers.open_trackers", lambda _: [RecordingSettings()])
    config = small_config(tmp_path)
    launch = launched(tmp_path / "launch", monkeypatch)
    try:
        run_job(config)
    except KeyboardInterrupt:
        assert status == "KILLED"
    else:
        assert str(error) in launch.failure_file(run_folder(config)).read_text()
    assert json.loads((run_folder(config) / "recording.json").read_text())["status"] == status


@pytest.mark.parametrize("kind", [EngineDied, ValueError])
def test_what_is_kept_of_a_failure_holds_no_password(
    kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_experiment(config: RunConfig, observer: Any) -> None:
        run_folder(config).mkdir(parents=True, exist_ok=True)
        raise kind("postgresql://u:geheim@h/db is gone")

    monkeypatch.setattr("pipelines.experiment.run_experiment", run_experiment)
    config = small_config(tmp_path)
    launch = launched(tmp_path / "launch", monkeypatch)
    run_job(config)
    folder = run_folder(config)
    for text in (capsys.readouterr().err, launch.failure_file(folder).read_text(), (folder / "run.log").read_text()):
        assert "postgresql://u:***@h/db is gone" in text
        assert "geheim" not in text


@pytest.mark.parametrize(("failed", "status"), [(0, "FINISHED"), (1, "FAILED")])
def test_trackers_are_given_how_a_launch_ended(failed: int, status: str) -> None:
    jobs, ends = jobs_of("seed=0,1"), list[str]()
    trackers: Any = SimpleNamespace(end=ends.append)
    Windows(jobs, jobs, None, trackers).show([Failure(job, "no GPU") for job in jobs[:failed]])
    assert ends == [status]


@pytest.mark.parametrize(
    ("error", "again"), [(OSError("too many open files"), True), (EngineDied("no GPU"), False), (ValueError("a bug"), False)]
)  # fmt: skip
def test_prefect_tries_a_stage_again_that_the_machine_failed(error: Exception, again: bool) -> None:
    """By the state that Prefect makes of the error."""
    from prefect.states import exception_to_failed_state

    task: Any = stages._task("rollout", 0, lambda: None, retries=1)
    state = asyncio.run(exception_to_failed_state(error))
    assert task.retries == 1
    assert task.retry_condition_fn(task, None, state) is again


def test_a_launchs_table_has_the_start_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two episodes an evaluation. Seed 0 goes from 0/2 over 2/2 to 1/2, seed 1 from 1/2 over 2/2 to 2/2: on average from 0.25 to
    0.75. Seed 2 is not finished."""
    success = {"seed0": [0, 0, 1, 1, 1, 0], "seed1": [0, 1, 1, 1, 1, 1]}

    def read_run(results: Path) -> Any:
        table = pd.DataFrame({"iteration": [0, 0, 1, 1, 2, 2], "success": success[results.parent.name]})
        return SimpleNamespace(evaluations=table)

    monkeypatch.setattr("pipelines.reporting.results.read_run", read_run)
    monkeypatch.setattr(final_tables, "is_finished", lambda config: config.experiment.seed < 2)
    head, _, row = final_tables.grid_table(jobs_of("seed=0,1,2")).strip().splitlines()
    cells = dict(zip(*([part.strip() for part in line.strip("|").split("|")] for line in (head, row)), strict=True))
    assert (cells["seeds done"], cells["success at start"], cells["at the end"]) == ("2 of 3", "0.250", "0.750")


def test_a_folder_that_prefect_cannot_use_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The trackers are prepared all the same."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flows.windows.prefect_server.settings", dict)  # the environment stays as it is
    monkeypatch.setattr("flows.windows.opened.prepare", lambda *_: ["MLflow"])
    (tmp_path / ".prefect").write_text("a file")
    (tmp_path / "launch").mkdir()
    jobs = jobs_of("seed=0", "execution.progress=false")
    with windows(jobs, jobs, tmp_path / "launch"):
        launch = current_launch()
    assert launch is not None
    assert (launch.prefect, launch.closed_trackers) == (None, ("MLflow",))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ")
    assert str(tmp_path / ".prefect") in line
