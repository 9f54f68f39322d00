"""What a launch shows of its runs, and plain lines where there is no terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.launch.jobs import Job
from flows.windows.status import LaunchStatus
from flows.windows.terminal import Bar, duration, line
from tests.flows.launches import launched
from tests.flows.test_jobs import jobs_of


def test_lines_come_every_30_seconds_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also after the last iteration, where the last evaluation tells much and the share stays 100 %. Errors go to a pipe
    here, so there is no terminal; the clock is ours: 2 s a word, 20 words of the loop, 20 of the last evaluation."""
    now = 1000.0
    monkeypatch.setattr("flows.windows.terminal.time.monotonic", lambda: now)
    bar = Bar("run", shown=True)
    for word in range(1, 41):
        now += 2.0
        bar.update(min(word, 20), 20, "evaluate" if word > 20 else "rollout")
    bar.finish()
    bar.close()
    assert capsys.readouterr().err.splitlines() == [
        "run:   5% after 2 s, 38 s left  rollout",
        "run:  85% after 34 s, 6 s left  rollout",
        "run: 100% after 66 s, 0 s left  evaluate",
        "run: finished after 80 s",
    ]


def test_a_bar_that_is_not_shown_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Bar("run", shown=False)
    bar.update(1, 1, "evaluate")
    bar.finish()
    bar.close()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (89, "89 s"), (91, "2 min"), (3590, "1 h 00 min"), (3900, "1 h 05 min")]
)
def test_a_duration_is_read_at_a_glance(seconds: float, said: str) -> None:
    assert duration(seconds) == said


# ------------------------------------------------------------------------------------------------------- how it stands


class Launch:
    """Two cells of one warm start, three seeds; 100 s a run and 300 s of warm start, two processes, a clock of ours."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("flows.windows.status.time.monotonic", lambda: self.now)
        monkeypatch.setattr("flows.launch.jobs.run_seconds", lambda _: 100.0)
        monkeypatch.setattr("flows.launch.jobs._TOKEN_S", 300.0 / 7_000_000)
        monkeypatch.setattr("flows.windows.status.is_finished", lambda config: config in self.finished)
        self.context = launched(root, monkeypatch)
        self.finished: list[object] = []
        self.jobs = jobs_of("empg=off,full", "seed=0,1,2", f"execution.runs={root}")
        self.status = LaunchStatus(self.jobs, self.jobs)

    def tell(self, number: int, share: float, made: float | None = None, text: str = "rollout") -> None:
        folder = self.job(number).folder
        folder.mkdir(parents=True, exist_ok=True)
        told = {"done": 24 * share, "total": 24, "text": text, "made": made}
        (folder / "progress.json").write_text(json.dumps(told))
        if text == "finished":
            self.finished.append(self.job(number).config)

    def fail(self, number: int) -> None:
        self.context.failure_file(self.job(number).folder).write_text("no luck")

    def look(self, at: float) -> LaunchStatus:
        self.now = at
        self.status.look()
        return self.status

    def job(self, number: int) -> Job:
        return self.jobs[number]


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launch:
    return Launch(tmp_path, monkeypatch)


def test_it_says_what_runs_and_what_is_left(launch: Launch) -> None:
    """900 s of work. One run is half done, one has just begun, so two processes have 50 and 100 before them, and four more
    runs: the first process ends at 50 + 100 + 100 = 250, the second at 100 + 100 + 100 = 300."""
    assert line(launch.look(1), 1.0).startswith("all:   0% after 1 s, 0 done, 0 running, 6 waiting, starting")
    launch.tell(0, 0.5)
    launch.tell(1, 0.0, text="setup")
    assert line(launch.look(2), 31.0) == (
        "all:  39% after 31 s, 0 done, 2 running, 4 waiting, about 5 min left  off seed0 50% rollout; off seed1 0% setup"
    )
    assert launch.status.seconds_left == 300.0


def test_what_is_left_while_a_warm_start_is_made(launch: Launch) -> None:
    """Its 300 s first, then six runs on two processes: 600. Half of it made as expected: 450. One more process changes
    nothing before it is there."""
    launch.tell(0, 0.0, made=0.0, text="warm start 0%")
    launch.tell(1, 0.0, text="warm start")
    assert launch.look(1).seconds_left == pytest.approx(600.0)
    for second in range(1, 151):
        launch.tell(0, 0.0, made=second / 300, text="warm start")
        launch.look(1 + second)
    assert launch.status.seconds_left == pytest.approx(450.0, rel=0.01)
    assert launch.status.share == pytest.approx(150 / 900)


def test_a_slow_machine_is_noticed(launch: Launch) -> None:
    """Twice as slow as expected for 300 s: what is left, 300 + 75 + 200 as expected, is told nearly twice as long: the pace
    is (60 + 300) / (60 + 150)."""
    launch.tell(0, 0.0, made=1e-6)
    launch.look(0)
    for second in range(1, 301):
        launch.tell(0, 0.0, made=second / 600)
        launch.look(second)
    expected = 150 + 3 * 100  # half of the warm start, and with the second process three runs each
    launch.tell(1, 0.0, text="warm start")
    assert launch.look(301).seconds_left == pytest.approx(expected * 360 / 210, rel=0.01)


def test_a_warm_start_that_is_there_already_is_no_work(launch: Launch) -> None:
    """Found at once: neither does it count any longer, nor is the machine taken for a fast one."""
    launch.tell(0, 0.01)
    launch.tell(1, 0.01)
    assert launch.look(1).seconds_left == pytest.approx(99 + 200)


def test_a_failed_run_is_no_work_and_no_end(launch: Launch) -> None:
    launch.tell(0, 1.0, text="finished")
    launch.tell(1, 0.3)
    launch.fail(1)
    launch.tell(2, 0.5)
    said = line(launch.look(1), 95)
    assert ", 1 done, 1 running, 3 waiting, 1 failed, about " in said
    assert "off seed2 50%" in said
    assert launch.status.seconds_left == 50 + 300  # one process was seen at work


def test_what_was_done_before_counts_as_done(launch: Launch) -> None:
    """Of 900 s of work, 200 are left: their warm start is there."""
    status = LaunchStatus(launch.jobs[4:], launch.jobs)
    assert [run.state for run in status.runs] == ["done"] * 4 + ["waiting"] * 2
    assert status.share == pytest.approx(7 / 9)
    assert status.seconds_left == 200
