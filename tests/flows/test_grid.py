"""``make grid`` whole: the launch, its results, tables and archive; killed in the middle it ends the same."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.grid import check_fits_study, main
from flows.launch.jobs import Job, with_commands
from flows.publish import StudyError
from pipelines.errors import ConfigError
from pipelines.experiment import run_experiment
from pipelines.files import sha256_file
from pipelines.reporting.report import collect, write_table
from tests.flows.first_launch import without_prefect
from tests.flows.test_jobs import jobs_of
from tests.pipelines.runs import Quiet
from tests.reporting.study import PICK_LOOK, write_cell
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


def start(root: Path) -> subprocess.Popen[str]:
    """``make grid`` without trackers: what is looked at is what it publishes."""
    own = {f"DVC_{name}_DIR": str(root / ".own" / name) for name in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG")}
    environment = {**os.environ, **own, "DVC_NO_ANALYTICS": "true"}
    environment.pop("PYTHONPATH", None)
    return subprocess.Popen(
        [sys.executable, "-m", "flows.grid", *CELLS, "tracker=[]", "hydra.launcher.n_jobs=2"],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(root: Path) -> str:
    launch = start(root)
    said, _ = launch.communicate(timeout=280)
    assert launch.returncode == 0, said
    return said


def run_without_a_launch(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same runs below ``root``, one after the other in this process, by the code of a repository without a commit."""
    monkeypatch.setattr("pipelines.stages.results.code_commit", lambda: "unknown")
    monkeypatch.chdir(root)
    for job in with_commands(jobs_of(*CELLS)):
        run_experiment(job.config, Quiet())


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
    return {
        str(file.relative_to(root)): sha256_file(file) for file in files if file.name not in (".gitignore", ".lock")
    }


@pytest.mark.timeout(900)
def test_a_grid_that_was_killed_ends_like_one_that_was_not(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, whole = (without_prefect(tmp_path / name, tmp_path_factory) for name in ("killed", "whole"))
    checkout(killed)
    kill_when(killed, lambda: len(list((killed / "runs").glob("*/*/results/run.json"))) > 0)
    said = finish(killed)
    assert re.search(r"alfworld_1.5b_grpo_full +1 .* (noise|few seeds|–)", said)
    assert "report:  reports/grid/report.html" in said
    run_without_a_launch(whole, monkeypatch)

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
    write_table("table1", whole / "results" / "grid", killed / "reports" / "paper_settings.json", whole / "tables")
    for table in (whole / "tables").iterdir():
        assert table.read_bytes() == (killed / "reports" / "grid" / "tables" / table.name).read_bytes()


def test_the_usage_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "results/grid" in capsys.readouterr().out
    assert main([]) == 2


def test_a_plan_is_printed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*CELLS, "plan=true"]) == 0
    said = capsys.readouterr()
    assert "none: policy=scripted is one process on this machine" in said.out
    assert said.err == ""
    assert list(tmp_path.iterdir()) == []


GRPO = "benchmark=alfworld model=qwen2.5_1.5b algorithm=grpo"


def jobs_and_grid(root: Path, *overrides: str) -> tuple[list[Job], Path]:
    """Runs that are to be launched, and a grid that has GRPO without EMPG, seed 0."""
    (results,) = write_cell(root / "made", f"{GRPO} empg=off", [[1, 0]], types=PICK_LOOK[:2])
    (job,) = jobs_of(*GRPO.split(), "empg=off")
    shutil.copytree(results, root.joinpath("grid", *job.folder.parts[-2:]))
    return jobs_of(*GRPO.split(), *overrides), root / "grid"


@pytest.mark.parametrize(
    "overrides",
    [
        ["empg=off", "seed=1"],
        ["empg=off,full", "warm_start.seed=1"],
        ["empg=off,full", "seed=0,1"],
        ["empg=off", "algorithm=dapo"],
    ],
)
def test_what_belongs_into_the_tables_is_launched(tmp_path: Path, overrides: list[str]) -> None:
    check_fits_study(*jobs_and_grid(tmp_path, *overrides))


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (["empg=full", "scale=smoke"], "of smoke scale, {there} of laptop"),
        (
            ["empg=off", "seed=1", "training.learning_rate=1e-3"],
            "{there} and {job} are the same row (qwen2.5-1.5b grpo off) with other settings",
        ),
        (["empg=full", "training.learning_rate=1e-3"], "and {there} differ in more than EMPG (training)"),
        (
            ["empg=full", "training.learning_rate=1e-3,2e-3"],
            "the same row (qwen2.5-1.5b grpo full (ζ = 0.05, k = 1.0))",
        ),
    ],
)
def test_what_the_tables_would_refuse_is_refused_before_it_is_run(
    tmp_path: Path, overrides: list[str], why: str
) -> None:
    jobs, grid = jobs_and_grid(tmp_path, *overrides)
    with pytest.raises(ConfigError) as caught:
        check_fits_study(jobs, grid)
    (there,) = (file.parent for file in grid.rglob("run.json"))
    said = str(caught.value)
    assert why.format(there=there, job=jobs[-1].folder) in said
    assert ("{there}" in why) == (str(there) in said)
    assert str(jobs[-1].folder) in said
    assert (f"; remove from {grid} what is to give way" in said) == (str(there) in said)
    assert "\n" not in said


@pytest.mark.parametrize(("failed", "code"), [((), 0), ((1,), 1), ((0, 1), 1)])
def test_what_finished_is_published_though_others_failed(
    failed: tuple[int, ...],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    published = list[Job]()
    monkeypatch.setattr("flows.grid.is_finished", lambda config: config.experiment.seed not in failed)
    monkeypatch.setattr("flows.grid._publish", lambda jobs: published.extend(jobs) or Path("reports/grid"))
    monkeypatch.setattr("flows.grid.show_end", lambda *_: None)
    monkeypatch.setattr("flows.grid.launch", lambda command: 1 if failed else 0)
    assert main(["seed=0,1"]) == code
    assert [job.config.experiment.seed for job in published] == [seed for seed in (0, 1) if seed not in failed]
    printed = capsys.readouterr().err
    assert (printed == "") == (not failed)
    assert ("1 of 2 runs" in printed) == (len(failed) == 1)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted: "),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "free some"),
        (StudyError("dvc repro failed"), 1, "error: dvc repro failed"),
    ],
)
def test_what_follows_the_launch_ends_in_a_line_too(
    error: BaseException,
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flows.grid.launch", lambda command: 0)
    monkeypatch.setattr("flows.grid.is_finished", lambda config: True)
    monkeypatch.setattr("flows.grid._publish", fail)
    assert main(["seed=0"]) == code
    assert said in capsys.readouterr().err
