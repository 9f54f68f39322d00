"""MLflow's view of a launch of several runs, on a real SQLite database and a real PostgreSQL server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.launch.jobs import Job
from flows.windows.tracked import TrackedJobs, tracked_run
from pipelines.run_folder import run_fingerprint
from pipelines.tracking.mlflow.comparison import last_comparisons
from pipelines.tracking.mlflow.database import EXPERIMENT, create_database
from pipelines.tracking.mlflow.launch import PARENT
from pipelines.tracking.mlflow.run import RUN_ID, MlflowRun
from pipelines.tracking.protocol import TrackedRun
from tests.flows.postgres import postgres, why_not
from tests.flows.test_jobs import jobs_of
from tests.pipelines.run_records import record
from tests.tracking.databases import with_mlflow

CELLS = "+experiment=table1/alfworld_1.5b_grpo_off,table1/alfworld_1.5b_grpo_full"


@pytest.fixture(params=["sqlite", "postgresql"])
def uri(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    monkeypatch.chdir(tmp_path)
    if request.param == "sqlite":
        yield f"sqlite:///{with_mlflow(tmp_path, tmp_path_factory)}"
    elif reason := why_not():
        pytest.skip(reason)
    else:
        with postgres() as address:
            yield address


def launch_of(uri: str, *overrides: str) -> list[Job]:
    return jobs_of(CELLS, "seed=0,1", "scale=smoke", f"execution.trackers.mlflow.uri={uri}", *overrides)


def log_run(job: Job, uri: str, success: float) -> None:
    """As a run does."""
    experiment = job.config.experiment
    info = record(
        cell=experiment.cell, seed=experiment.seed, fingerprint=run_fingerprint(experiment), config=experiment.values()
    )
    job.folder.mkdir(parents=True, exist_ok=True)
    tracker = MlflowRun(uri, tracked_run(job.folder, info))
    tracker.start()
    tracker.metrics(0, {"evaluation/success": success / 2})
    tracker.metrics(1, {"evaluation/success": success})
    tracker.end("FINISHED")


def runs_of(client: Any) -> dict[str, Any]:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}


@pytest.mark.timeout(300)
def test_a_grid_its_cells_and_their_seeds(uri: str) -> None:
    from mlflow.tracking import MlflowClient

    create_database(uri)
    client = MlflowClient(uri)
    jobs = launch_of(uri)
    log_run(jobs[0], uri, 0.25)  # by a launch of its own, before
    assert last_comparisons(client, "http://here") == {}
    grid = TrackedJobs(jobs)
    grid.start()
    for job in jobs[1:]:
        log_run(job, uri, 0.5)
    grid.end("FINISHED")

    runs = runs_of(client)
    top = runs["table1 · smoke · 4 runs"]
    assert len(runs) == 1 + 2 + 4
    assert (top.info.status, top.data.metrics["grid/runs"]) == ("FINISHED", 4.0)
    assert PARENT not in top.data.tags
    for arm in ("off", "full"):
        name = f"table1/alfworld_1.5b_grpo_{arm}"
        cell = runs[name]
        assert cell.data.tags[PARENT] == top.info.run_id
        shared = {"benchmark": "alfworld", "model": "qwen2.5-1.5b", "algorithm": "grpo", "empg": arm,
                  "scale": "smoke", "table": "table1", "cell": name}  # fmt: skip
        for run in (cell, *(runs[f"grpo {arm} seed{seed} · alfworld qwen2.5-1.5b smoke"] for seed in (0, 1))):
            assert {key: run.data.tags[key] for key in shared} == shared
            assert run.info.status == "FINISHED"
        for seed in (0, 1):
            tags = runs[f"grpo {arm} seed{seed} · alfworld qwen2.5-1.5b smoke"].data.tags
            assert (tags[PARENT], tags["seed"], tags["grid"]) == (cell.info.run_id, str(seed), top.info.run_id)

    # The page of the link: its view is kept in the experiment, and its filter finds the seeds' runs.
    comparisons = last_comparisons(client, "http://here")
    assert list(comparisons) == ["comparison of alfworld"]
    address = comparisons["comparison of alfworld"]
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert address.startswith(f"http://here/#/experiments/{experiment.experiment_id}/runs?viewStateShareKey=")
    key = address.partition("viewStateShareKey=")[2].partition("&")[0]
    view = json.loads(experiment.tags[f"mlflow.sharedViewState.{key}"])
    found = client.search_runs([experiment.experiment_id], view["searchFilter"], order_by=[f"{view['orderByKey']} ASC"])
    assert sorted(run.data.tags["seed"] for run in found) == ["0", "0", "1", "1"]
    assert [run.data.tags["empg"] for run in found] == ["full", "full", "off", "off"]
    lines = [chart for chart in view["compareRunCharts"] if chart["type"] == "LINE"]
    assert lines
    assert all((chart["lineSmoothness"], chart["useGlobalLineSmoothing"]) == (0, False) for chart in lines)

    # The same launch again goes on in the same runs, but for those deleted on the page; another one takes the runs that it
    # shares below itself.
    TrackedJobs(jobs).start()
    assert len(runs_of(client)) == 7
    client.delete_run(top.info.run_id)
    TrackedJobs(jobs).start()
    top = runs_of(client)["table1 · smoke · 4 runs"]
    assert len(runs_of(client)) == 7
    smaller = TrackedJobs(jobs[:2])
    smaller.start()
    smaller.end("FINISHED")
    again = runs_of(client)
    assert len(again) == 7 + 1  # its cell has the name of another's
    moved = again["grpo off seed0 · alfworld qwen2.5-1.5b smoke"].data.tags
    assert moved["grid"] == again["table1 · smoke · 2 runs"].info.run_id
    assert again["grpo full seed0 · alfworld qwen2.5-1.5b smoke"].data.tags["grid"] == top.info.run_id


@pytest.mark.timeout(300)
def test_a_long_run_is_logged_whole(uri: str) -> None:
    """10,000 points of one metric, and the page that shows them (MLflow samples it itself)."""
    from mlflow.tracking import MlflowClient

    create_database(uri)
    (job, *_) = launch_of(uri)
    job.folder.mkdir(parents=True)
    tracker = MlflowRun(uri, TrackedRun(job.folder, "run\0", "cell", {"odd": "\ud800"}, {"odd\0": "\0"}))
    tracker.start()
    for iteration in range(10_000):
        tracker.metrics(iteration, {"update/kl": iteration / 10_000})
    tracker.end("FINISHED")
    history = MlflowClient(uri).get_metric_history((job.folder / RUN_ID).read_text(), "update/kl")
    assert [metric.step for metric in history] == list(range(10_000))


def test_a_database_that_is_down_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    down = "postgresql://empg:secret@127.0.0.1:9/empg"
    grid = TrackedJobs(launch_of(down))
    grid.start()
    grid.end("FAILED")
    (line,) = capsys.readouterr().err.splitlines()
    assert "postgresql://empg:***@127.0.0.1:9/empg" in line
    assert "secret" not in line
