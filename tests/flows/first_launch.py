"""A launch of two runs where nothing was before, one of which fails; and its leavings for launches that look at something else.
Prefect's database, the data and the model each take seconds to make."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from flows.windows.prefect_server import HOME
from tests.flows.test_command_line import environment
from tests.once import made_once

SMALL = ["scale=smoke", "policy=scripted", "training.iterations=1", "warm_start=null", "benchmark.max_steps=2"]
SWEEP = ["-m", *SMALL, "hydra.launcher.n_jobs=2"]
DATA = ("dozen", "real")


def flows(*arguments: str, cwd: Path, told: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=told or environment(), timeout=280)


def first_launch(factory: pytest.TempPathFactory) -> Path:
    """Its folder, which tests only read. ``said.json``: the exit code and what it wrote to standard error."""
    return made_once(factory, "launch", _launch)


def games(folder: Path) -> Path:
    """Where the run of real data looks for games, and finds none."""
    return folder / "games"


def _launch(folder: Path) -> None:
    (games(folder) / "json_2.1.1" / "train").mkdir(parents=True)
    # The network's proxy, dead: no server on this machine is reached by it.
    dead = {
        name: "http://127.0.0.1:9"
        for proxy in ("http_proxy", "https_proxy", "all_proxy")
        for name in (proxy, proxy.upper())
    }
    told = {name: value for name, value in environment().items() if name.lower() != "no_proxy"}
    told |= {"ALFWORLD_DATA": str(games(folder)), **dead}
    done = flows(*SWEEP, f"data={','.join(DATA)}", cwd=folder, told=told)
    with sqlite3.connect(folder / HOME / "prefect.db") as database:  # all of it in the one file
        database.execute("pragma wal_checkpoint(truncate)")
    (folder / "said.json").write_text(json.dumps({"code": done.returncode, "error": done.stderr}))


def with_prefect(folder: Path, factory: pytest.TempPathFactory) -> Path:
    """``folder`` with Prefect's database, as the first launch left it; returns it."""
    (folder / HOME).mkdir(parents=True)
    shutil.copy(first_launch(factory) / HOME / "prefect.db", folder / HOME)
    return folder


def after_a_launch(folder: Path, factory: pytest.TempPathFactory) -> Path:
    """The same, and the data and the model of small runs."""
    _with_artifacts(folder, factory)
    return with_prefect(folder, factory)


def without_prefect(folder: Path, factory: pytest.TempPathFactory) -> Path:
    """``folder`` with the data and the model of small runs, for launches at which Prefect does not matter: where its folder would be
    is a file, its server cannot start, and they go on without."""
    _with_artifacts(folder, factory)
    (folder / HOME).write_text("a file")
    return folder


def _with_artifacts(folder: Path, factory: pytest.TempPathFactory) -> None:
    for made in ("data", "panels", "model", "cache"):
        shutil.copytree(first_launch(factory) / "artifacts" / made, folder / "artifacts" / made)
