"""Sweeps of two runs, with Prefect and MLflow, killed at random instants: the launch alone, its group, or all of its tree."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil

from tests.faults.found import Found, Tick
from tests.faults.kills import differing
from tests.flows.test_command_line import environment
from tests.pipelines.runs import digests

_SWEEP = [
    "-m", "scale=smoke", "policy=scripted", "warm_start=null", "training.iterations=2", "benchmark.max_steps=2", "seed=0,1",
    "hydra.launcher.n_jobs=2",
]  # fmt: skip
_MOST = 6  # kills of one sweep
_DEADLINE_S = 280


def kill_sweeps(kills: int, seed: int, folder: Path, tick: Tick) -> list[Found]:
    rng, hit, faults = random.Random(seed), Counter[str](), list[str]()
    began = time.monotonic()
    code, said = _finish(folder / "whole")
    if code:
        return [Found("kills of sweeps", 0, (f"the sweep that nobody killed ended with {code}: {said[-300:]}",))]
    longest, whole, killed = time.monotonic() - began, digests(folder / "whole"), folder / "killed"
    while hit.total() < kills:
        for _ in range(min(rng.randint(1, _MOST), kills - hit.total())):
            how = rng.choice(list(_MANNERS))
            if not _kill_after(killed, rng.uniform(0, longest), how):
                break
            hit[how] += 1
            tick(1)
        code, said = _finish(killed)
        found = f"ended with {code}: {said[-300:]}" if code else differing(whole, digests(killed))
        if found:
            faults.append(f"{shutil.move(killed, folder / f'differs-after-{hit.total()}')}: {found}")
        else:
            shutil.rmtree(killed, ignore_errors=True)  # a server that outlived its launch may still write there
    where = ", ".join(f"{how} {n}" for how, n in hit.most_common())
    return [Found("kills of sweeps", hit.total(), tuple(faults), where)]


def _start(root: Path) -> subprocess.Popen[str]:
    root.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "flows", *_SWEEP]
    return subprocess.Popen(
        command,
        cwd=root,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=(root / "said.txt").open("w"),
        text=True,
        start_new_session=True,
    )


def _finish(root: Path) -> tuple[int, str]:
    """Exit code and what it said."""
    launch = _start(root)
    try:
        return launch.wait(_DEADLINE_S), (root / "said.txt").read_text()
    except subprocess.TimeoutExpired:
        _kill_tree(launch.pid)
        launch.wait()
        return 124, f"not done after {_DEADLINE_S} s"


def _kill_after(root: Path, after_s: float, how: str) -> bool:
    """False when the launch had ended by then."""
    launch = _start(root)
    try:
        launch.wait(after_s)
        return False
    except subprocess.TimeoutExpired:
        _MANNERS[how](launch.pid)
        launch.wait()
        return True


def _kill_process(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def _kill_group(pid: int) -> None:
    os.killpg(pid, signal.SIGKILL)


def _kill_tree(pid: int) -> None:
    """Prefect's server too, which has a group of its own."""
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        try:
            process.kill()
        except psutil.NoSuchProcess:  # it ended meanwhile
            continue


_MANNERS = {"process": _kill_process, "group": _kill_group, "tree": _kill_tree}
