"""``policy=openrlhf`` in runs of the command line: vLLM and OpenRLHF on CPU, killed in the middle and launched again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
_PATIENCE_S = 240


def launch(root: Path, *overrides: str) -> subprocess.Popen[str]:
    folders = [f"execution.{name}={root / name}" for name in ("runs", "artifacts")]
    tracking = f"execution.trackers.mlflow.uri=sqlite:///{root / 'mlflow.db'}"
    command = [sys.executable, "-m", "flows", "policy=openrlhf", "scale=smoke", *folders, tracking, *overrides]
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def when(condition: Callable[[], bool], run: subprocess.Popen[str]) -> None:
    until = time.monotonic() + _PATIENCE_S
    while not condition():
        assert run.poll() is None, run.stdout.read() if run.stdout else ""
        assert time.monotonic() < until
        time.sleep(0.05)


def made(root: Path, stage: str) -> int:
    return len(list((root / "artifacts" / stage).glob("[!.]*")))


def of_ray(parent: int) -> list[psutil.Process]:
    found = psutil.Process(parent).children(recursive=True)
    return [p for p in found if "ray" in " ".join(p.cmdline()[:2])]


def workers(parent: int, name: str) -> list[psutil.Process]:
    return [p for p in of_ray(parent) if p.cmdline()[0].startswith(f"ray::{name}")]


def test_killed_twice_and_launched_again_it_finishes(tmp_path: Path) -> None:
    """First the driver while the first update is made, then a rank of the trainer in the second iteration."""
    run = launch(tmp_path)
    when(lambda: made(tmp_path, "rollout") == 1, run)
    left = [p for p in of_ray(run.pid) if "Agent" not in p.name()]  # Ray's agents look after themselves, and later
    assert any("EngineProcess" in p.name() or "EngineProcess" in p.cmdline()[0] for p in left)
    run.kill()
    run.wait()
    _, alive = psutil.wait_procs(left, timeout=60)
    assert not alive  # nothing of it holds memory, or a GPU

    run = launch(tmp_path)
    when(lambda: made(tmp_path, "update") == 1, run)
    (rank,) = workers(run.pid, "TrainerProcess")
    os.kill(rank.pid, signal.SIGKILL)
    said, _ = run.communicate(timeout=_PATIENCE_S)
    assert run.returncode == 1, said
    assert "a Ray process died" in said
    assert "Traceback" not in said

    run = launch(tmp_path)
    said, _ = run.communicate(timeout=_PATIENCE_S)
    assert run.returncode == 0, said
    assert made(tmp_path, "update") == 2
    (metrics,) = (tmp_path / "runs").rglob("metrics.parquet")
    table = pd.read_parquet(metrics)
    assert np.isfinite(table["update/loss"].dropna()).all()
    assert (table["update/sampler_gap_max"].dropna() < 1e-3).all()
    assert table["entropy/step_mean"].notna().any()
    measured(tmp_path)


def measured(root: Path) -> None:
    """An oracle of the run's second rollout: the checkpoint that played it was pruned, so vLLM continues under one that OpenRLHF
    trained again."""
    (run,) = (root / "runs").glob("[!.]*/seed0")
    command = [
        sys.executable, "-m", "flows.credit", "oracle", str(run), "iterations=1", "steps=2", "continuations=4", "pages=false",
        f"execution.artifacts={root / 'artifacts'}", f"out={root / 'oracle'}",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(root / "oracle" / "oracle.parquet")
    assert len(table) == 2
    np.testing.assert_allclose(table["A"], table["Q"] - table["V"], atol=1e-12)
    parts = list((root / "artifacts" / "continuations").glob("[!.]*/continuations.parquet"))
    assert all((pd.read_parquet(part)["tokens"] > 0).all() for part in parts)
    assert parts


@pytest.mark.parametrize(
    "layout",
    [
        ["benchmark.prompt.history=2"],
        ["policy.cluster.gpus_per_node=2", "policy.cluster.zero_stage=3"],
        ["training.adapter=lora", "training.adapter.rank=4"],
    ],
)
def test_dapo_with_empg_runs(tmp_path: Path, layout: list[str]) -> None:
    run = launch(tmp_path, "algorithm=dapo", "empg=full", "training.iterations=1", *layout)
    said, _ = run.communicate(timeout=_PATIENCE_S)
    assert run.returncode == 0, said
    assert made(tmp_path, "update") == 1
