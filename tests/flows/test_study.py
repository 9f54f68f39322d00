"""What follows a launch: one at a time, and what DVC says told in a line."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from filelock import FileLock

from flows.study import _cause, alone


def test_whoever_comes_second_says_so_once_and_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    other, order = FileLock(tmp_path / "results" / ".lock", thread_local=False), list[str]()
    other.acquire()

    def release() -> None:
        order.append("the first ends")
        other.release()

    timer = threading.Timer(0.2, release)
    timer.start()
    with alone():
        order.append("the second begins")
    timer.join()
    assert order == ["the first ends", "the second begins"]
    assert capsys.readouterr().err == "another launch is making its tables in this folder: waiting for it\n"
    with alone():
        pass
    assert capsys.readouterr().err == ""


def test_a_dvc_that_is_at_work_is_named_and_its_lock_is_not_to_be_removed() -> None:
    """As DVC 3.67 says it."""
    said = (
        "ERROR: '/home/me/empg/reports/grid' is busy, it is being blocked by:\n"
        "  (PID 4711): /home/me/.venv/bin/dvc repro\n"
        "\n"
        "If there are no processes with such PIDs, you can manually remove '/home/me/empg/.dvc/tmp/rwlock' and try again.\n"
    )
    assert _cause(said) == (
        "process 4711 (/home/me/.venv/bin/dvc repro) is at work on the same files: wait for it, or stop it, and launch again"
    )


def test_the_error_of_a_stage_is_told_before_dvcs_last_words() -> None:
    said = "warning: odd\nerror: results/grid/x is malformed\nERROR: failed to reproduce 'table': exit status 1\n"
    assert _cause(said) == "results/grid/x is malformed"
    assert _cause("ERROR: you are not inside of a DVC repository\n") == "ERROR: you are not inside of a DVC repository"
    assert _cause("") == "no output"
