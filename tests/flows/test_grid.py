"""``make grid`` whole: the launch, its results, tables and archive; killed in the middle it ends the same."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.grid import main
from pipelines.files import sha256_file
from pipelines.reporting.report import collect, write_study_table
from tests.reporting.test_dvc import keep_some

REPOSITORY = Path(__file__).parents[2]
CELLS = [
    "+experiment=table1/alfworld_1.5b_grpo_off,table1/alfworld_1.5b_grpo_full", "seed=0", "scale=smoke",
    "policy=scripted", "warm_start=null", "training.iterations=2", "benchmark.max_steps=2",
]  # fmt: skip


def checkout(root: Path) -> Path:
    """What DVC's stages need, in a git repository; of the tables table 1, of the figures the learning curves."""
    for name in ("dvc.yaml", ".gitignore", ".dvc/config", ".dvc/.gitignore", ".dvcignore"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, root / name)
    keep_some(root / "dvc.yaml", "table1", "learning_curves")
    for package in ("pipelines", "empg", "flows", "conf"):
        shutil.copytree(REPOSITORY / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return root


def start(root: Path, command: str = "flows.grid") -> subprocess.Popen[str]:
    own = {f"DVC_{name}_DIR": str(root / ".own" / name) for name in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG")}
    environment = {**os.environ, **own, "DVC_NO_ANALYTICS": "true"}
    environment.pop("PYTHONPATH", None)
    arguments = ["-m", *CELLS] if command == "flows" else CELLS
    return subprocess.Popen(
        [sys.executable, "-m", command, *arguments],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(root: Path, command: str = "flows.grid") -> str:
    launch = start(root, command)
    said, _ = launch.communicate(timeout=280)
    assert launch.returncode == 0, said
    return said


def kill_when(root: Path, reached: Callable[[], bool]) -> None:
    launch = start(root)
    deadline = time.monotonic() + 200
    while not reached() and launch.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert launch.poll() is None, launch.communicate()
    assert reached()
    launch.send_signal(signal.SIGKILL)
    launch.communicate()


def digests(root: Path, *folders: str) -> dict[str, str]:
    files = [file for folder in folders for file in sorted((root / folder).rglob("*")) if file.is_file()]
    return {str(file.relative_to(root)): sha256_file(file) for file in files if file.name != ".gitignore"}


@pytest.mark.timeout(900)
def test_a_grid_that_was_killed_twice_ends_like_one_that_was_not(tmp_path: Path) -> None:
    killed, whole = checkout(tmp_path / "killed"), checkout(tmp_path / "whole")
    kill_when(killed, lambda: len(list((killed / "artifacts" / "rollout").glob("*/record.json"))) > 0)
    kill_when(killed, lambda: len(list((killed / "runs").glob("*/*/results/run.json"))) > 0)
    said = finish(killed)
    assert "Table 1: ALFWorld and WebShop, smoke scale" in said
    finish(whole, "flows")

    made = digests(killed, "reports", "archive", "results")
    assert {
        "reports/grid/tables/table1.md", "reports/grid/tables/table1_differences.csv", "reports/grid/report.html",
        "archive/grid.dvc",
    } <= made.keys()  # fmt: skip
    for cell in ("off", "full"):
        names = [name for name in made if name.startswith(f"archive/grid/smoke-alfworld-qwen2.5-1.5b-grpo-{cell}-")]
        assert sum(name.endswith("steps.parquet") for name in names) == 2
        assert any(name.endswith("rollouts/iteration0001/trajectories.parquet") for name in names)

    # The same results, byte for byte, and so the same tables.
    collect([results.parent for results in (whole / "runs").glob("*/*/results")], whole / "results" / "grid")
    assert digests(whole, "results") == digests(killed, "results")
    write_study_table(
        "table1", whole / "results" / "grid", killed / "reports" / "paper_settings.json", whole / "tables"
    )
    for table in (whole / "tables").iterdir():
        assert table.read_bytes() == (killed / "reports" / "grid" / "tables" / table.name).read_bytes()


def test_the_usage_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "results/grid" in capsys.readouterr().out
    assert main([]) == 2
