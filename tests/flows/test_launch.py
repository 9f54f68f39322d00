"""A launch with the real Prefect server and MLflow: many runs at once, failures told, a dead server survived."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

import pytest

from flows.__main__ import main
from flows.configure.compose import compose
from flows.launch.jobs import Job
from pipelines.run_folder import is_finished, run_folder
from tests.flows.first_launch import DATA, SMALL, SWEEP, after_a_launch, first_launch, games
from tests.flows.test_command_line import environment


@pytest.mark.timeout(600)
def test_many_runs_a_failing_one_and_a_second_launch(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of the two has a folder of games without a game, and fails alone."""
    root = first_launch(tmp_path_factory)
    said = json.loads((root / "said.json").read_text())
    assert said["code"] == 1
    monkeypatch.setenv("ALFWORLD_DATA", str(games(root)))
    monkeypatch.chdir(root)
    good, bad = (compose([*SMALL, f"data={data}"]) for data in DATA)
    assert is_finished(good), said["error"]
    assert not is_finished(bad)
    assert "1 of 2 runs failed:" in said["error"]
    assert "json_2.1.1/train" in said["error"]
    assert "alfworld-download" in said["error"]
    assert "Traceback" not in said["error"]
    assert main([*SWEEP, "data=dozen"]) == 0
    assert f"done already: {run_folder(good)}" in capsys.readouterr().out
    import sqlite3

    with sqlite3.connect(root / ".prefect" / "prefect.db") as database:
        runs = dict(database.execute("select name, state_type from flow_run").fetchall())
        parents = dict(database.execute("select child.name, parent.name from flow_run child "
            "join task_run on child.parent_task_run_id = task_run.id join flow_run parent on task_run.flow_run_id = parent.id"
        ).fetchall())  # fmt: skip
        artifacts = [key or "" for (key,) in database.execute("select key from artifact").fetchall()]
        tasks = {name.split()[0] for (name,) in database.execute("select name from task_run").fetchall()}
    assert runs[f"{run_folder(good).parent.name}/seed0"] == "COMPLETED"
    assert runs[f"{run_folder(bad).parent.name}/seed0"] == "FAILED"
    # The launch of two is a flow run, its runs subflows of it though they had processes of their own.
    (grid,) = (name for name in runs if name.startswith("alfworld · smoke · 2 runs"))
    assert runs[grid] == "FAILED"
    assert parents == {f"{run_folder(config).parent.name}/seed0": grid for config in (good, bad)}
    assert any(key.startswith("grid-") for key in artifacts)
    assert any(key.startswith("smoke-alfworld") for key in artifacts)
    assert {"setup", "warm_start", "rollout", "advantage", "update", "evaluate"} <= tasks


@pytest.mark.timeout(600)
def test_a_dead_prefect_server_does_not_take_the_run_with_it(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_a_launch(tmp_path, tmp_path_factory)
    command = [sys.executable, "-m", "flows", *SMALL, "tracker=[]", "training.iterations=4", "seed=5"]
    run = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment())
    monkeypatch.chdir(tmp_path)
    config = compose(command[3:])
    deadline = time.monotonic() + 200
    while not list((tmp_path / "artifacts" / "rollout").glob("*/record.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    server = json.loads((tmp_path / ".prefect" / "server.json").read_text())["pid"]
    os.killpg(server, signal.SIGKILL)
    _, said = run.communicate(timeout=200)
    assert run.returncode == 0, said
    assert is_finished(config)


@pytest.mark.parametrize("bad", [0, 2, 5])
def test_a_run_that_is_always_killed_takes_no_other_with_it(
    bad: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six runs on two processes, in order; the bad one's process is killed each time that it has begun, and the pool with it."""
    from concurrent.futures.process import BrokenProcessPool

    from flows.launch import execution
    from tests.flows.test_jobs import jobs_of

    jobs = jobs_of("seed=range(6)", f"execution.runs={tmp_path}")
    killed = jobs[bad].folder
    launches: list[list[int]] = []

    def execute(left: Sequence[Job]) -> dict[Path, str]:
        launches.append([job.config.experiment.seed for job in left])
        for pair in (left[i : i + 2] for i in range(0, len(left), 2)):
            for job in pair:
                job.folder.mkdir(parents=True, exist_ok=True)
                (job.folder / "progress.json").touch()
            if killed in [job.folder for job in pair]:
                raise BrokenProcessPool
            for job in pair:
                (job.folder / "done").touch()
        return {}

    monkeypatch.setattr(execution, "is_finished", lambda config: (run_folder(config) / "done").exists())
    failures = execution.execute(_Launcher(execute), jobs)
    done = [job.config.experiment.seed for job in jobs if (job.folder / "done").exists()]
    assert done == [seed for seed in range(6) if seed != bad]
    neighbour = bad + 1 - 2 * (bad % 2)
    assert launches[-2:] == [[seed] for seed in sorted((bad, neighbour))]
    ((job, reason),) = ((failure.job, failure.reason) for failure in failures)
    assert job is jobs[bad]
    assert "killed" in reason
    assert "launch again" in reason


class _Launcher:
    """A batch is all that is left."""

    def __init__(self, execute: Callable[[Sequence[Job]], dict[Path, str]]) -> None:
        self.execute = execute

    def batches(self, jobs: Sequence[Job]) -> list[list[Job]]:
        return [list(jobs)]


def test_what_a_launcher_says_is_the_reason_of_those_that_say_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of three runs one is done, one has failed, one is lost; the launch ends with its table, not with the launcher's error."""
    from flows.launch import execution
    from tests.flows.launches import launched
    from tests.flows.test_jobs import jobs_of

    context = launched(tmp_path / "launch", monkeypatch)
    jobs = jobs_of("seed=range(3)", f"execution.runs={tmp_path}")

    def execute(left: Sequence[Job]) -> dict[Path, str]:
        left[0].folder.mkdir(parents=True)
        (left[0].folder / "done").touch()
        context.failure_file(left[1].folder).write_text("no playable game")
        return {job.folder: "Ray: the worker died" for job in left}

    monkeypatch.setattr(execution, "is_finished", lambda config: (run_folder(config) / "done").exists())
    failures = execution.execute(_Launcher(execute), jobs)
    assert [(failure.job, failure.reason) for failure in failures] == [
        (jobs[1], "no playable game"),
        (jobs[2], "Ray: the worker died"),
    ]
    assert capsys.readouterr().err == "error: Ray: the worker died\n"


def test_a_process_of_a_launch_reads_its_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one variable, also in another process, and not after the launch."""
    from flows.launch.context import VARIABLE, LaunchContext, current_launch, handed_over

    monkeypatch.setenv(VARIABLE, "")
    assert current_launch() is None
    told = LaunchContext(tmp_path, Path.cwd(), 7, True, "http://127.0.0.1:1/api", "a-flow-run", ("MLflow at x", "b"))
    code = "from flows.launch.context import current_launch; print(current_launch())"
    with handed_over(told):
        assert current_launch() == told
        said = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment()
        )
    assert said.stdout.strip() == str(told)
    assert current_launch() is None


def test_a_launchs_folder_that_is_not_here_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that does not see the launch's working folder."""
    from flows.launch.context import VARIABLE, current_launch
    from pipelines.errors import MachineFailure

    monkeypatch.setenv(VARIABLE, str(tmp_path / "elsewhere"))
    with pytest.raises(MachineFailure, match=re.escape(str(tmp_path / "elsewhere"))):
        current_launch()


def test_a_prefect_server_that_cannot_start_is_one_line_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its database is no database. Launches go on without it: test_slurm.py, test_grid.py."""
    from flows.windows.prefect_server import ServerDead, prefect_server

    monkeypatch.chdir(tmp_path)
    (tmp_path / ".prefect").mkdir()
    (tmp_path / ".prefect" / "prefect.db").write_text("this is no database, whatever its name says" * 99)
    with patch.dict(os.environ), pytest.raises(ServerDead, match=r"\.prefect/server\.log"), prefect_server():
        pass
