"""A grid: what launching, composing, Prefect, MLflow and the store's bookkeeping cost per cell of 60 scripted runs.

One launch of ``python -m flows -m`` with as many processes as cores, its data made before. Counted is the launch's whole wall
time, servers and imports included, less what the stages of its runs took on as many processes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Row, at_most, say

TARGET, REPEATS, CELLS, SEEDS = 1.0, 2, 5, 12
_OVERRIDES = (
    "+experiment=glob(table5/*)",
    "scale=smoke",
    "policy=scripted",
    "warm_start=null",
    "execution.progress=false",
)
_ROOT = Path(__file__).parent.parent


def bench_grid() -> list[Row]:
    """One row: seconds of orchestration per cell."""
    with tempfile.TemporaryDirectory() as folder:
        _launch(Path(folder), "seed=9999", "training.iterations=0")  # makes the games
        spent = [_orchestration(Path(folder), repeat) for repeat in range(REPEATS)]
    name = f"orchestration of {CELLS * SEEDS} scripted runs, per run"
    return [at_most(name, [(float(CELLS * SEEDS), seconds) for seconds in spent], TARGET, "s")]


def _orchestration(folder: Path, repeat: int) -> float:
    first = repeat * SEEDS
    start = time.perf_counter()
    _launch(folder, f"seed=range({first},{first + SEEDS})")
    wall = time.perf_counter() - start
    timings = [json.loads(path.read_text()) for seed in range(first, first + SEEDS) for path in _timings(folder, seed)]
    assert len(timings) == CELLS * SEEDS, f"{len(timings)} of {CELLS * SEEDS} runs told their times"
    stages = float(sum(timing["stages_s"] for timing in timings))
    say(
        f"launch {repeat + 1} of {REPEATS}: {wall:.1f} s, of these {stages:.1f} s in stages on {_processes()} processes"
    )
    return wall - stages / _processes()


def _timings(folder: Path, seed: int) -> list[Path]:
    return list(folder.glob(f"runs/*/seed{seed}/timing.json"))


def _processes() -> int:
    return len(os.sched_getaffinity(0))


def _launch(folder: Path, *overrides: str) -> None:
    command = [sys.executable, "-m", "flows", "-m", *_OVERRIDES, *overrides]
    environment = os.environ | {"PYTHONPATH": str(_ROOT)}
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
