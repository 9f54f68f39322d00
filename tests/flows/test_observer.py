"""The observer outside a flow: stages are retried when the machine failed, and timed; progress is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.windows import observers as module
from flows.windows.observers import RunObserver
from pipelines.config import RunConfig
from pipelines.errors import EnvironmentFailure
from pipelines.progress import Work
from tests.pipelines.runs import small_config


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return small_config(tmp_path)


@pytest.fixture
def observer(config: RunConfig, tmp_path: Path) -> RunObserver:
    return RunObserver(config, tmp_path, in_flow=False)


def fails(times: int, error: Exception) -> tuple[list[int], object]:
    calls: list[int] = []

    def work() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return "done"

    return calls, work


def test_a_failure_of_the_machine_is_retried(observer: RunObserver) -> None:
    calls, work = fails(1, OSError("too many open files"))
    assert observer.stage("rollout", 0, work, retries=1) == "done"  # type: ignore[arg-type]
    assert len(calls) == 2


@pytest.mark.parametrize("error", [EnvironmentFailure("dead"), ValueError("a bug")])
def test_other_failures_are_not(observer: RunObserver, error: Exception) -> None:
    calls, work = fails(1, error)
    with pytest.raises(type(error)):
        observer.stage("rollout", 0, work, retries=3)  # type: ignore[arg-type]
    assert len(calls) == 1


def test_retries_are_spent(observer: RunObserver) -> None:
    calls, work = fails(9, OSError("disk"))
    with pytest.raises(OSError, match="disk"):
        observer.stage("rollout", 0, work, retries=2)  # type: ignore[arg-type]
    assert len(calls) == 3


def test_progress_and_timing_are_written(
    observer: RunObserver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    observer.stage("setup", None, lambda: None)
    told = tmp_path / "progress.json"
    assert json.loads(told.read_text())["text"] == "setup"
    monkeypatch.setattr(module, "_WRITE_S", -1.0)  # else at most once a second
    for what, made in (("making the data", None), ("warm start", 0.25)):
        observer.preparing(what, 0.25)
        said = json.loads(told.read_text())
        assert (said["share"], said["made"]) == (0.0, made)  # the run's own progress has not begun
        assert said["text"] == f"{what} 25%"
    observer.stage("rollout", 0, lambda: None)
    observer.progress(Work(0.0, 4.0, 0.0, 0.0), "evaluate")
    observer.progress(Work(3.0, 4.0, 3.0, 0.0), "evaluate")
    said = json.loads(told.read_text())
    assert (said["text"], said["share"], said["made"]) == ("evaluate", 0.75, None)
    assert said["run_seconds"] == pytest.approx(4 * said["left"])
    observer.run_finished(tmp_path, None)
    said = json.loads(told.read_text())
    assert (said["text"], said["share"], said["left"]) == ("finished", 1.0, 0.0)
    timing = json.loads((tmp_path / "timing.json").read_text())
    assert timing["run_s"] == pytest.approx(timing["stages_s"] + timing["overhead_s"])
    assert 0 <= timing["overhead_share"] <= 1
