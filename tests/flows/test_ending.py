"""How a launch ends on the terminal, and what a run's own log has."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.windows.ending import show_end
from flows.windows.observers import RunObserver
from tests.flows.test_jobs import jobs_of
from tests.pipelines.runs import small_config
from tests.reporting.study import PICK_LOOK, write_cell

CELL = "benchmark=alfworld model=qwen2.5_1.5b algorithm=grpo"


def finished(root: Path, arm: str, finals: list[list[float]]) -> None:
    """Its runs' results, where their jobs have them."""
    made = write_cell(root / "made", f"{CELL} empg={arm}", finals, types=PICK_LOOK[: len(finals[0])])
    for job, results in zip(jobs_of(*CELL.split(), f"empg={arm}", "seed=0,1"), made, strict=False):
        shutil.copytree(results, job.folder / "results")


def test_one_table_then_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipelines.reporting.rendering._columns", lambda: 80)
    finished(tmp_path, "off", [[1, 0], [1, 0]])
    finished(tmp_path, "full", [[1, 1]])
    show_end(jobs_of(*CELL.split(), "empg=off,full", "seed=0,1"))
    lines = capsys.readouterr().out.splitlines()
    (off,) = [line.split() for line in lines if line.startswith("off ")]
    (full,) = [line.split() for line in lines if line.startswith("full ")]
    assert off[1] == "2"
    assert full[1:4] == ["1", "of", "2"]
    assert {"+50.0", "noise"} <= set(full)
    assert any("python -m flows.report runs=runs" in line for line in lines)
    assert any(line.endswith("make ui") for line in lines)
    assert max(map(len, lines)) <= 80


def test_a_run_says_where_it_is_and_nothing_of_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    jobs = jobs_of(*CELL.split(), "empg=off", "seed=0")
    show_end(jobs)
    assert capsys.readouterr().out == ""
    finished(tmp_path, "off", [[1, 0]])
    show_end(jobs, Path("reports/mine/report.html"))
    said = capsys.readouterr().out
    assert str(jobs[0].folder) in said
    assert "reports/mine/report.html" in said


def test_a_table_that_cannot_be_made_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The files of its data were changed between two seeds: what was made is made, and the launch has not failed."""
    monkeypatch.chdir(tmp_path)
    finished(tmp_path, "off", [[1, 0]])
    (other,) = jobs_of(*CELL.split(), "empg=off", "seed=1")
    (results,) = write_cell(
        tmp_path / "moved", f"{CELL} empg=off", [[1]], types=PICK_LOOK[:1], seeds=[1], panel="q" * 64
    )
    shutil.copytree(results, other.folder / "results")
    show_end(jobs_of(*CELL.split(), "empg=off", "seed=0,1"))
    said = capsys.readouterr()
    assert str(other.folder) in said.err
    assert "runs=runs" in said.out


def test_a_runs_log_has_its_stages_numbers_and_end(tmp_path: Path) -> None:
    observer = RunObserver(small_config(tmp_path), tmp_path, in_flow=False)
    observer.stage("rollout", 3, lambda: None)
    observer.metrics(4, {"rollout/success": 0.25, "somebody/else": 1.0})
    with pytest.raises(ValueError, match="broken"):
        observer.stage("warm_start", None, _fails)
    observer.ended("FAILED")
    said = [line[20:] for line in (tmp_path / "run.log").read_text().splitlines()]
    assert said[1].startswith("rollout 3: done after ")
    assert said[2] == "after 4 updates: rollout/success 0.25"
    assert said[3].startswith("warm start: failed after ")
    assert said[4] == "failed"


def _fails() -> None:
    raise ValueError("broken")
