"""A server that hangs is ended, and holds nobody up; one that answers is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread, current_thread

import psutil
import pytest
from filelock import Timeout

from flows.windows import prefect_server, prefect_watch
from flows.windows.prefect_watch import TIMES, watched
from tests.flows.test_command_line import environment


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads a session, as the server does."""
    monkeypatch.setattr(prefect_watch, "_LOOK_S", 0.01)
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_a_server_that_does_not_answer_is_ended(
    server: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    os.killpg(server.pid, signal.SIGSTOP)
    with watched(server.pid, lambda: False):
        assert server.wait(timeout=20) == -signal.SIGKILL
    (line,) = capsys.readouterr().err.splitlines()
    assert "goes on" in line


def test_a_server_that_was_only_slow_is_left_alone(server: subprocess.Popen[bytes]) -> None:
    looks, asked = Event(), list[bool]()

    def answers() -> bool:
        asked.append(len(asked) % TIMES == TIMES - 1)  # the last of each look
        if len(asked) > 3 * TIMES:
            looks.set()
        return asked[-1]

    with watched(server.pid, answers):
        assert looks.wait(20)
    assert server.poll() is None


def test_once_the_block_is_left_nothing_is_said(
    server: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    asked, left, watches = Event(), Event(), list[Thread]()

    def answers() -> bool:
        """It is asked inside the block, and fails when the block is left."""
        watches.append(current_thread())
        asked.set()
        left.wait(20)
        return False

    with watched(server.pid, answers):
        assert asked.wait(20)
    left.set()
    watches[0].join(20)
    assert server.wait(20) == -signal.SIGKILL
    assert capsys.readouterr().err == ""


def test_a_stopped_process_is_not_asked_to_end(
    server: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would not hear."""
    kill, sent = os.killpg, list[int]()
    os.killpg(server.pid, signal.SIGSTOP)
    while psutil.Process(server.pid).status() != psutil.STATUS_STOPPED:
        pass
    monkeypatch.setattr(os, "killpg", lambda pid, which: (sent.append(which), kill(pid, which)))
    prefect_server.stop_process(server.pid)
    assert sent == [signal.SIGKILL]
    assert not psutil.pid_exists(server.pid)


def test_a_start_that_makes_no_progress_is_given_up(
    server: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.killpg(server.pid, signal.SIGSTOP)
    monkeypatch.setattr(prefect_server, "_IDLE_S", 0.2)
    with pytest.raises(prefect_server.ServerDead, match=r"server\.log"):
        prefect_server._wait(server, f"http://127.0.0.1:{prefect_server.free_port()}/api")


def test_a_stopped_launch_that_starts_the_server_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that goes on is, for as long as a start may take."""
    monkeypatch.chdir(tmp_path)
    prefect_server.HOME.mkdir()
    code = "from flows.windows.prefect_server import _turn\nwith _turn(9): print('mine', flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "mine\n"
        began = time.monotonic()
        with pytest.raises(Timeout), prefect_server._turn(0.7):
            pass
        assert time.monotonic() - began >= 0.7
        holder.send_signal(signal.SIGSTOP)
        with pytest.raises(Timeout), prefect_server._turn(3600.0):
            pass
    finally:
        holder.kill()
        holder.wait()
    with prefect_server._turn(0.7):
        pass


def test_only_the_server_itself_is_taken_for_it(server: subprocess.Popen[bytes]) -> None:
    assert not prefect_server._is_server(server.pid, "http://127.0.0.1:600/api")
    assert not prefect_server._is_server(-1, "")
    command = [sys.executable, "-c", "import time; time.sleep(600)", "prefect", "server", "start", "--port", "4200"]
    like = subprocess.Popen(command)
    try:
        while "prefect" not in psutil.Process(like.pid).cmdline():  # until it has begun
            pass
        assert prefect_server._is_server(like.pid, "http://127.0.0.1:4200/api")
        assert not prefect_server._is_server(like.pid, "http://127.0.0.1:420/api")
    finally:
        like.kill()
        like.wait()
