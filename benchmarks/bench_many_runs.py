"""A sweep of 200 finished runs against one of 50: a launch of what is done, MLflow's pages, the overview, the report.

One smoke run is made, the others are its copies under other cells and seeds. What takes more than four times as long for four times as
many grows faster than it may; what is the same for any number makes the ratio smaller.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Row, at_most, say
from flows.launch.command import read_command
from flows.launch.jobs import Job
from flows.launch.run_state import RunState
from flows.windows.status import LaunchStatus
from flows.windows.terminal import line
from pipelines.config import RunConfig
from pipelines.files import write_checksums, write_json
from pipelines.run_folder import run_fingerprint, run_folder

FEW, MANY, TARGET = 50, 200, 1.1  # runs; the ratio's bound leaves room for the measurement
_ALGORITHMS = ("grpo", "dapo", "rloo", "dr_grpo", "gigpo", "hgpo", "graphgpo", "salt", "otb", "rtmc")
_ROOT = Path(__file__).parent.parent


def _sweep(runs: int) -> list[str]:
    """10 algorithms, off or also full, five or ten seeds."""
    arms, seeds = ("off", 5) if runs == FEW else ("off,full", 10)
    return ["-m", "scale=smoke", f"algorithm={','.join(_ALGORITHMS)}", f"empg={arms}", f"seed=range({seeds})"]


def bench_many_runs() -> list[Row]:
    """A row per measure: ``baseline`` is four times what 50 runs take."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        source.mkdir()
        _flows(source, "scale=smoke", "empg=off", "seed=0")
        few, many = (_measure(source, Path(folder) / str(runs), runs) for runs in (FEW, MANY))
    return [
        at_most(
            f"{MANY} finished runs: {name}",
            [(few[name] * MANY / FEW, many[name])],
            TARGET,
            "CPU s",
            note=f"of {FEW}: {few[name]:.1f} s",
        )
        for name in many
    ]


def _measure(source: Path, folder: Path, runs: int) -> dict[str, float]:
    """CPU seconds of each."""
    folder.mkdir()
    os.chdir(folder)  # as a launch in it: folders of runs are relative
    sweep = _sweep(runs)
    jobs = read_command(sweep).jobs
    assert len(jobs) == runs
    for job in jobs:
        _copy(source, job.config)
    measured = {
        "pages of all completed in MLflow": _flows(folder, module="flows.sync"),
        "launched again": _flows(folder, *sweep),
        "report": _flows(folder, "runs=runs", module="flows.report"),
        "overview, a look": _overview_s(jobs),
    }
    for name, took in measured.items():
        say(f"{runs} runs, {name}: {took:.2f} s")
    return measured


def _overview_s(jobs: list[Job] | tuple[Job, ...]) -> float:
    """While half of them run."""
    for job in jobs[::2]:
        RunState("rollout", 0.5, run_seconds=60.0).write(job.folder)
    status = LaunchStatus(jobs, jobs)
    start = time.process_time()
    for _ in range(20):
        status.look()
        line(status, 60.0)
    return (time.process_time() - start) / 20


def _copy(source: Path, config: RunConfig) -> None:
    """The finished run as another one, of which MLflow knows nothing."""
    (made,) = source.glob("runs/*/*/results")
    folder = run_folder(config)
    results = Path(shutil.copytree(made, folder / "results"))
    record = json.loads((results / "run.json").read_text())
    experiment = config.experiment
    record |= {
        "cell": experiment.cell, "seed": experiment.seed, "config": experiment.values(),
        "fingerprint": run_fingerprint(experiment), "checkpoint": "",
    }  # fmt: skip
    write_json(results / "run.json", record)
    write_checksums(results)
    (folder / "params.yaml").write_text(f"seed: {experiment.seed}")
    config.execution.trackers.chosen()[0].owe(folder)


def _flows(folder: Path, *arguments: str, module: str = "flows") -> float:
    """CPU seconds of the command and of what it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"PYTHONPATH": str(_ROOT)}
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-500:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
