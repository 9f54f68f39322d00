"""The pages in Prefect cost themselves and never the work, whatever Prefect does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from prefect.client.schemas.actions import LogCreate

from flows.windows import prefect_pages, stages
from flows.windows.prefect_log import PrefectLog
from flows.windows.prefect_pages import Page, launch_page
from flows.windows.run_log import RunLog
from tests.flows.test_command_line import environment
from tests.flows.test_jobs import jobs_of

UNREACHABLE = "http://127.0.0.1:9/api"


class Engine:
    """Of a flow run, and what fails of it."""

    def __init__(self, failing: str) -> None:
        self.failing, self.states = failing, list[str]()

    def reached(self, point: str) -> None:
        if self.failing == point:
            raise RuntimeError("Failed to reach API")  # as Prefect says it, with a class of nobody's

    def handle_success(self, state: object) -> None:
        self.reached("success")
        self.states.append(str(state))


def opened(monkeypatch: pytest.MonkeyPatch, failing: str) -> Engine:
    from contextlib import ExitStack

    engine = Engine(failing)

    def open_page(page: Page) -> None:
        engine.reached("open")
        page._engine, page._opened = engine, ExitStack()
        page._opened.push(lambda *_: engine.reached("close"))

    monkeypatch.setattr(Page, "_open", open_page)
    monkeypatch.setattr(prefect_pages, "publish_table", lambda *_: None)
    return engine


@pytest.mark.parametrize("failing", ["open", "success", "close"])
def test_what_prefect_raises_costs_the_page_alone(
    failing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(monkeypatch, failing)
    done: list[str] = []
    with Page("run", "a run") as page:
        done.append("the work")
        page.finish("results", failed=False, table=("key", str))
    assert done == ["the work"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ")
    assert "Failed to reach API" in line


@pytest.mark.parametrize("failing", ["", "close"])
@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt()])
def test_the_works_own_errors_pass(error: BaseException, failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = opened(monkeypatch, failing)
    with pytest.raises(type(error)) as caught, Page("run", "a run"):
        raise error
    assert caught.value is error
    assert engine.states == []


def test_an_interrupt_while_the_page_is_closed_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = opened(monkeypatch, "")

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "handle_success", interrupted)
    with pytest.raises(KeyboardInterrupt), Page("run", "a run"):
        pass


def test_without_a_server_the_work_is_done_all_the_same(tmp_path: Path) -> None:
    """By Prefect itself, in a process of its own: it reads its settings once."""
    script = (
        "from flows.windows.prefect_pages import Page\n"
        "with Page('run', 'a run') as page: print('the work', page.is_open, page.flow_run)"
    )
    own = {"PREFECT_API_URL": UNREACHABLE, "PREFECT_HOME": str(tmp_path), "PREFECT_CLIENT_MAX_RETRIES": "0"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment() | own,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "the work False None\n"
    assert "warning: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_launch_of_the_same_runs_that_was_killed_is_crashed(monkeypatch: pytest.MonkeyPatch) -> None:
    """All flow runs of its title, before its own is there; a single run has no page above it."""
    marked: list[tuple[str, ...]] = []
    monkeypatch.setattr(prefect_pages, "mark_crashed", lambda *told: marked.append(told))
    page = launch_page(jobs_of("seed=0,1"), UNREACHABLE)
    assert page is not None
    assert not page.is_open
    assert marked == [(UNREACHABLE, page._title)]
    assert "2 runs" in page._title
    assert launch_page(jobs_of("seed=0,1"), None) is None
    assert launch_page(jobs_of("seed=0"), UNREACHABLE) is None


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_stage_is_done_once_though_prefect_fails(
    moment: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the work or after it, with an error of any class; what follows goes on without Prefect."""
    done: list[str] = []

    def fail(name: str, iteration: int | None, work: Callable[[], None], retries: int) -> Callable[[], None]:
        def run() -> None:
            if moment == "after":
                work()
            raise RuntimeError("Failed to reach API")

        return run

    monkeypatch.setattr(stages, "_task", fail)
    called = stages.PrefectStages()
    assert called.call("rollout", 0, lambda: done.append("rollout") or "result", 1) == "result"
    assert called.call("update", 0, lambda: done.append("update") or "result", 0) == "result"
    assert done == ["rollout", "update"]
    assert not called.in_prefect
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_stages_own_error_passes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(stages, "_task", lambda name, iteration, work, retries: work)
    called = stages.PrefectStages()
    with pytest.raises(RuntimeError, match="a bug"):
        called.call("rollout", 0, fail, 0)
    assert called.in_prefect
    assert capsys.readouterr().err == ""


def test_a_server_that_takes_too_much_of_a_run_is_given_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second of work and a second of Prefect a stage: 20 s and 5 % of the time are spent in the 23rd. Work counts for nothing."""
    clock, done = [0.0], list[int]()
    monkeypatch.setattr(stages.time, "monotonic", lambda: clock[0])

    def work() -> None:
        clock[0] += 1.0
        done.append(len(done))

    def late(name: str, iteration: int | None, recorded: Callable[[], None], retries: int) -> Callable[[], None]:
        def run() -> None:
            recorded()
            clock[0] += 1.0

        return run

    monkeypatch.setattr(stages, "_task", late)
    called = stages.PrefectStages()
    for number in range(40):
        called.call("rollout", number, work, 0)
        assert called.in_prefect == (number < 22)
    assert len(done) == 40
    (line,) = capsys.readouterr().err.splitlines()
    assert "slow" in line


class Client:
    """Of Prefect's API; ``failing``: it raises."""

    def __init__(self, failing: bool = False) -> None:
        self.failing, self.logs = failing, list[str]()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None: ...

    def create_logs(self, logs: list[LogCreate]) -> None:
        if self.failing:
            raise RuntimeError("Failed to reach API")
        self.logs += [log.message for log in logs]


def log_of(client: Client, monkeypatch: pytest.MonkeyPatch) -> tuple[RunLog, PrefectLog, stages.PrefectStages]:
    monkeypatch.setattr("prefect.client.orchestration.get_client", lambda sync_client: client)
    called = stages.PrefectStages()
    page = PrefectLog(called)
    return RunLog(Path(), page), page, called


def test_a_runs_log_stands_on_its_page_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    client = Client()
    log, page, _ = log_of(client, monkeypatch)
    log.say("one")
    log.say("two")
    assert client.logs == [], "they wait for more"
    page.send()
    page.send()
    assert client.logs == ["one", "two"]
    assert [line.split(maxsplit=2)[2] for line in Path("run.log").read_text().splitlines()] == client.logs


def test_lines_that_prefect_does_not_take_cost_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    log, page, called = log_of(Client(failing=True), monkeypatch)
    for line in ("one", "two"):
        log.say(line)
        page.send()
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not called.in_prefect
    assert len(Path("run.log").read_text().splitlines()) == 2
