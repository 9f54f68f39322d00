"""What a launch shows of its runs, and plain lines where there is no terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from flows.launch.jobs import Job
from flows.launch.run_state import RunState
from flows.windows.bars import bars, shortened
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
        left = {1: 100.0, 17: 200.0}.get(word)
        bar.update(min(word, 20), 20, "evaluate" if word > 20 else "rollout", left)
    bar.finish()
    bar.close()
    assert capsys.readouterr().err.splitlines() == [
        "run:   5% after 2 s, 0:02 h left, rollout",
        "run:  85% after 34 s, 0:04 h left, rollout",
        "run: 100% after 66 s, evaluate",
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
        monkeypatch.setattr("flows.launch.jobs.run_seconds", lambda _: 100.0)
        monkeypatch.setattr("flows.launch.jobs._TOKEN_S", 300.0 / 7_000_000)
        monkeypatch.setattr("flows.windows.status.is_finished", lambda config: config in self.finished)
        self.context = launched(root, monkeypatch)
        self.finished: list[object] = []
        self.jobs = jobs_of("empg=off,full", "seed=0,1,2", f"execution.runs={root}")
        self.status = LaunchStatus(self.jobs, self.jobs)

    def tell(self, number: int, text: str = "rollout", **told: float | None) -> None:
        """``told``: fields of a run's state."""
        folder = self.job(number).folder
        folder.mkdir(parents=True, exist_ok=True)
        RunState(text, **told).write(folder)  # type: ignore[arg-type]
        if text == "finished":
            self.finished.append(self.job(number).config)

    def fail(self, number: int) -> None:
        self.context.failure_file(self.job(number).folder).write_text("no luck")

    def look(self) -> LaunchStatus:
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
    assert line(launch.look(), 1.0).startswith("all:   0% after 1 s, starting, 0 done, 0 running, 6 waiting")
    launch.tell(0, share=0.5, left=50.0, run_seconds=100.0)
    launch.tell(1, text="setup")
    assert line(launch.look(), 31.0) == (
        "all:  39% after 31 s, 0:05 h left, 0 done, 2 running, 4 waiting  "
        "off seed0 50% 0:01 h left, rollout; off seed1 0% setup"
    )
    assert launch.status.seconds_left == 300.0


def test_what_is_left_while_a_warm_start_is_made(launch: Launch) -> None:
    """Its 300 s first, then six runs on two processes: 600. It takes twice as long as expected: half of it made, 300 s are left,
    and then three runs one after the other, of 200 s each."""
    launch.tell(0, made=0.0, text="warm start 0%")
    launch.tell(1, text="warm start")
    assert launch.look().seconds_left is None  # nobody has measured anything
    launch.tell(0, made=0.5, left=300.0, text="warm start 50%")
    assert launch.look().seconds_left == pytest.approx(300 + 3 * 200)
    assert launch.status.share == pytest.approx(150 / 900)


def test_who_waits_for_whom_is_said(launch: Launch) -> None:
    launch.tell(0, made=0.2, left=240.0, text="warm start 20%")
    launch.tell(1, text="warm start")
    said = line(launch.look(), 40.0)
    assert "off seed0 0% 0:04 h left, warm start 20%" in said
    assert "off seed1 0% waiting for off seed0's warm start" in said


def test_a_runs_own_pace_counts(launch: Launch) -> None:
    """One run is slow, 400 s, and the others as it: the first process ends at 200 + 400 + 400, the second at 3 · 400."""
    launch.tell(0, share=0.5, left=200.0, run_seconds=400.0)
    launch.tell(1, text="setup")
    assert launch.look().seconds_left == pytest.approx(1200.0)


def test_a_run_that_was_found_up_to_now_is_no_measure_of_the_pace(launch: Launch) -> None:
    launch.tell(0, share=0.9)
    assert launch.look().seconds_left is None
    launch.tell(0, share=0.93, left=14.0, run_seconds=200.0)
    assert launch.look().seconds_left == pytest.approx(14 + 5 * 200)


def test_a_warm_start_that_is_there_already_is_no_work(launch: Launch) -> None:
    launch.tell(0, share=0.03, left=97.0, run_seconds=100.0)
    launch.tell(1, share=0.01)
    assert launch.look().seconds_left == pytest.approx(99 + 200)


def test_a_failed_run_is_no_work_and_no_end(launch: Launch) -> None:
    launch.tell(0, share=1.0, text="finished")
    launch.tell(1, share=0.3)
    launch.fail(1)
    launch.tell(2, share=0.5, left=50.0, run_seconds=100.0)
    said = line(launch.look(), 95)
    assert "0:06 h left, 1 done, 1 failed, 1 running, 3 waiting" in said
    assert "off seed2 50%" in said
    assert launch.status.seconds_left == 50 + 300  # one process was seen at work


def test_what_was_done_before_counts_as_done(launch: Launch) -> None:
    """Of 900 s of work, 200 are left: their warm start is there."""
    status = LaunchStatus(launch.jobs[4:], launch.jobs)
    assert [run.state for run in status.runs] == ["done"] * 4 + ["waiting"] * 2
    assert status.share == pytest.approx(7 / 9)


@pytest.mark.parametrize("width", [80, 120])
def test_at_any_width_the_time_is_seen_and_the_bar_is_one(width: int) -> None:
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    name = shortened("laptop-alfworld-qwen2.5-1.5b-grpo-full-5aed7f/seed0", console)
    assert name.endswith("full-5aed7f/seed0")
    progress = bars(console)
    note = "11:20 h left, waiting for table1/alfworld_1.5b_grpo_full seed0's warm start"
    progress.add_task(name, total=1.0, completed=1.0, note=note)
    console.print(progress.get_renderable())
    (shown,) = [row for row in console.file.getvalue().splitlines() if row.strip()]  # type: ignore[attr-defined]
    for part in (name, "100% ", "0:00:00", "11:20 h left, "):
        assert part in shown
    assert shown.count("━") == width // 5
    assert len(shown) <= width
