"""Launchers: each job is handed over once, in order, with its own overrides; one that is not here is said at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows.__main__ import main
from flows.configure.compose import compose
from flows.job import run_job
from flows.launch.command import read_command
from flows.launch.context import VARIABLE
from flows.launch.launchers import HydrasLauncher, choose_launcher, fewer_processes, launcher_of
from pipelines.config import RunConfig
from pipelines.errors import MachineFailure
from pipelines.planning.memory import GIB
from pipelines.run_folder import is_finished, run_folder
from tests.flows.launches import launched as launched_here
from tests.flows.test_command_line import environment
from tests.flows.test_jobs import jobs_of


def test_jobs_are_launched_in_the_order_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As composed: by a basic launcher, which runs them here."""
    launched: list[tuple[str, int, str]] = []

    def run(config: RunConfig) -> None:
        launched.append((config.experiment.cell, config.experiment.seed, str(config.execution.runs)))

    launched_here(tmp_path / "launch", monkeypatch)
    overrides = ["scale=smoke", f"execution.runs={tmp_path}", "hydra/launcher=basic"]
    cells = "+experiment=table1/webshop_7b_rloo,table2/deepsearch_32b_dapo_off"
    command = read_command(["-m", cells, "seed=0,1", *overrides])
    assert HydrasLauncher(command, run, command.jobs).execute(command.jobs[::-1]) == {}
    assert launched == [
        ("smoke-deepsearch-qwen2.5-32b-dapo-off", 1, str(tmp_path)),
        ("smoke-deepsearch-qwen2.5-32b-dapo-off", 0, str(tmp_path)),
        ("smoke-webshop-qwen2.5-7b-rloo-off", 1, str(tmp_path)),
        ("smoke-webshop-qwen2.5-7b-rloo-off", 0, str(tmp_path)),
    ]
    assert list(tmp_path.iterdir()) == [tmp_path / "launch"]


def test_a_launcher_that_is_not_here_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "flows.launch.launchers.find_spec", lambda name: None if name == "hydra_plugins.hydra_ray_launcher" else 1
    )
    monkeypatch.setattr("flows.windows.opened.windows", None)
    assert main(["-m", "seed=0,1", "hydra/launcher=ray"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: hydra/launcher=ray ")
    assert "hydra_ray_launcher" in line
    assert "make setup-cluster" in line


LOST = type("WorkerCrashedError", (Exception,), {"__module__": "ray.exceptions"})
A_BUG = type("RayTaskError(KeyError)", (KeyError,), {"__module__": "ray.exceptions"})


@pytest.mark.parametrize(
    ("error", "launcher", "raised"),
    [
        (LOST, "ray", BrokenProcessPool),  # the others are launched again
        (ConnectionError, "ray", None),
        (A_BUG, "ray", A_BUG),  # its traceback is wanted
        (OSError, "ray", OSError),
        (ConnectionError, "basic", ConnectionError),
    ],
)
def test_what_ray_loses_is_distinguished_from_bugs(
    error: type[Exception],
    launcher: str,
    raised: type[Exception] | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended: list[str] = []
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(shutdown=lambda: ended.append("ray")))

    def lose(*_: object, **__: object) -> None:
        raise error("\nthe worker died\nsee its log")

    monkeypatch.setattr("hydra.core.plugins.Plugins.instantiate_launcher", lambda *_: SimpleNamespace(launch=lose))
    monkeypatch.setattr("flows.launch.launchers.find_spec", lambda name: name)
    command = read_command(["-m", "seed=0,1", f"hydra/launcher={launcher}"])
    chosen = HydrasLauncher(command, lambda config: None, command.jobs)
    if raised is None:
        lost = chosen.execute(command.jobs)
        assert lost.keys() == {job.folder for job in command.jobs}
        assert all(reason.startswith("Ray: the worker died; ") for reason in lost.values())
    else:
        with pytest.raises(raised) as caught:
            chosen.execute(command.jobs)
        assert type(caught.value) is raised
    warned = capsys.readouterr().err
    assert warned == ("warning: Ray: the worker died\n" if error is LOST else "")
    assert ended == ["ray"] * (error is LOST)


def test_rays_machines_know_what_the_launch_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it stands in the file in the launch's folder, which one variable names; Prefect reads its own."""
    told = {name: f"of {name}" for name in (VARIABLE, "PREFECT_API_URL")}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    launcher = launcher_of(read_command(["-m", "seed=0", "hydra/launcher=ray"])).launcher
    variables = dict(launcher.ray.init.runtime_env.env_vars)
    assert {name: variables[name] for name in told} == told
    assert {name for name in variables if name.startswith("EMPG")} == {VARIABLE}


def test_a_run_starts_in_the_launchs_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray starts its processes elsewhere, and the configuration's folders are the launch's."""
    ran: list[Path] = []
    monkeypatch.chdir(tmp_path)
    launched_here(tmp_path / "launch", monkeypatch)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr("flows.job._run", lambda config, launch: ran.append(Path.cwd()))
    run_job(compose(["scale=smoke"]))
    assert ran == [tmp_path]


def memory_of(monkeypatch: pytest.MonkeyPatch, gib: float, cores: int) -> None:
    monkeypatch.setattr("pipelines.policies.local.planning.plan.host_memory_gib", lambda: gib)
    monkeypatch.setattr("flows.launch.launchers.os.cpu_count", lambda: cores)


@pytest.mark.parametrize(
    ("overrides", "launcher", "added"),
    [
        (["policy=openrlhf", "scale=paper"], [], ["hydra.launcher.n_jobs=1"]),
        (["policy=vllm", "training.iterations=0"], [], ["hydra.launcher.n_jobs=1"]),
        (["policy=openrlhf", "scale=laptop"], [], []),  # its ranks are processes of the CPU
        (["policy=local"], [], []),
        (["policy=openrlhf", "scale=paper"], ["hydra.launcher.n_jobs=2"], []),
        (["policy=openrlhf", "scale=paper"], ["hydra/launcher=ray"], []),
    ],
)
def test_runs_that_want_a_gpu_take_turns(overrides: list[str], launcher: list[str], added: list[str]) -> None:
    assert fewer_processes(jobs_of(*overrides, "seed=0,1"), launcher) == added


def test_pretrained_models_take_turns_on_a_gpu_that_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """policy.device=auto: a stand-in stays on the CPU, and so many runs as there are cores go on at once."""
    memory_of(monkeypatch, 1000.0, cores=2)
    pretrained = jobs_of("scale=single", "seed=0,1")
    assert fewer_processes(pretrained, []) == []
    monkeypatch.setattr("pipelines.policies.local.config.visible_gpus", lambda: [24.0])
    assert fewer_processes(pretrained, []) == ["hydra.launcher.n_jobs=1"]
    assert fewer_processes(jobs_of("scale=single", "policy.device=cpu", "seed=0,1"), []) == []
    assert fewer_processes(jobs_of("seed=0,1"), []) == []


def test_no_more_runs_go_beside_each_other_than_the_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the plan's own sum of a run, 7 % kept free: 3.5 of them are three, and less than one is still one."""
    jobs = jobs_of("scale=single", "model=smollm2_135m", "seed=0,1,2,3")
    memory_of(monkeypatch, 1000.0, cores=8)
    plan: Any = jobs[0].config.experiment.policy.plan(jobs[0].config.experiment)
    needed = max(phase.total for phase in plan.phases) / GIB / 0.93
    assert fewer_processes(jobs, []) == []
    for gib, processes in ((3.5 * needed, 3), (0.5 * needed, 1)):
        memory_of(monkeypatch, gib, cores=8)
        assert fewer_processes(jobs, []) == [f"hydra.launcher.n_jobs={processes}"]
    memory_of(monkeypatch, 3.5 * needed, cores=2)
    assert fewer_processes(jobs, []) == []
    memory_of(monkeypatch, 1.0, cores=8)
    assert fewer_processes(jobs, ["hydra.launcher.n_jobs=4"]) == []  # who says how many knows best
    assert fewer_processes(jobs_of("seed=0,1"), []) == []


def test_room_is_looked_for_of_what_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is started where there is none."""
    command, asked = read_command(["-m", "scale=smoke", "seed=0,1,2"]), list[int]()
    monkeypatch.setattr("flows.launch.launchers.check_room", lambda config: asked.append(config.experiment.seed))
    choose_launcher(command, lambda _: pytest.fail("it was started"), command.jobs[1:])
    assert asked == [1, 2]

    def refuse(_: RunConfig) -> None:
        raise MachineFailure("no room")

    monkeypatch.setattr("flows.launch.launchers.check_room", refuse)
    choose_launcher(command, lambda _: None, [])
    with pytest.raises(MachineFailure):
        choose_launcher(command, lambda _: None, command.jobs)


def test_a_job_looks_for_room_where_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    launched_here(tmp_path / "launch", monkeypatch)

    def refuse(_: RunConfig) -> None:
        raise MachineFailure("a checkpoint takes more than the disk has")

    monkeypatch.setattr("flows.job.check_room", refuse)
    monkeypatch.setattr("flows.job._run", lambda config, launch: pytest.fail("it was started"))
    run_job(compose(["scale=smoke", f"execution.runs={tmp_path}"]))
    assert "a checkpoint takes more than the disk has" in capsys.readouterr().err


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_ray_runs_the_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of two has a folder of games without a game: it fails alone."""
    (tmp_path / "games" / "json_2.1.1" / "train").mkdir(parents=True)
    cell = ["scale=smoke", "policy=scripted", "warm_start=null", "training.iterations=1", "benchmark.max_steps=2"]
    sweep = [*cell, "data=dozen,real", "hydra/launcher=ray"]
    done = subprocess.run(
        [sys.executable, "-m", "flows", "-m", *sweep],
        cwd=tmp_path, capture_output=True, text=True, timeout=500,
        env=environment() | {"ALFWORLD_DATA": str(tmp_path / "games")},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    monkeypatch.chdir(tmp_path)
    good = compose([*cell, "data=dozen"])
    assert is_finished(good), done.stderr
    assert "1 of 2 runs failed:" in done.stderr
    assert "json_2.1.1/train holds no playable game" in done.stderr
    assert "Warning" not in done.stderr
    assert json.loads((run_folder(good) / "results" / "run.json").read_text())["seed"] == 0


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_a_worker_that_is_killed_takes_no_run_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    cell = ["scale=smoke", "policy=local", "training.iterations=2"]
    sweep = [*cell, "seed=0,1,2", "hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2"]
    launch = subprocess.Popen(
        [sys.executable, "-m", "flows", "-m", *sweep],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip
    deadline = time.monotonic() + 200
    while not list(tmp_path.glob("runs/*/*/progress.json")) and launch.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = [
        p for p in psutil.Process(launch.pid).children(recursive=True) if "ray::_run_job" in " ".join(p.cmdline())
    ]
    workers[0].kill()
    _, said = launch.communicate(timeout=400)
    assert launch.returncode == 0, said
    assert "warning: Ray: The worker died" in said
    monkeypatch.chdir(tmp_path)
    assert all(is_finished(compose([*cell, f"seed={seed}"])) for seed in range(3))
