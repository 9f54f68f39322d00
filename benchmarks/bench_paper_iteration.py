"""The paper's scale: memory and time of each stage on an iteration of its size, and what 150 such iterations take of a disk.

128 episodes of 50 steps with contexts of 2,048 tokens and actions of 512, made up (``benchmarks.paper_iteration``): no model runs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Row, at_most, say
from benchmarks.paper_iteration import STAGES

MEMORY_GB, DISK_GB, ITERATIONS = 2.0, 40.0, 150


def bench_paper_iteration() -> list[Row]:
    """A row of memory for each stage, with its seconds; and one of the disk."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [_row(stage, Path(folder)) for stage in STAGES]
        iteration = _bytes(Path(folder)) / 2  # two of them were written
    note = f"{iteration / 1e6:.0f} MB an iteration, its rollout and advantages"
    disk = [(DISK_GB, iteration * ITERATIONS / 1e9)]
    return [*rows, at_most(f"{ITERATIONS} iterations of the paper's size on disk", disk, 1.0, "GB", note=note)]


def _row(stage: str, folder: Path) -> Row:
    command = [sys.executable, "-m", "benchmarks.paper_iteration", stage, str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    told = json.loads(done.stdout.splitlines()[-1])
    peak = told["peak"] / 1e9
    note = f"{told['seconds']:.1f} s"
    say(f"{stage}: {peak:.2f} GB, {note}")
    return at_most(f"an iteration of the paper's size: {stage}", [(MEMORY_GB, peak)], 1.0, "GB", note=note)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*/*/*") if path.is_file())
