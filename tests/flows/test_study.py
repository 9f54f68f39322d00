"""What follows a launch: one at a time, and what DVC says told in a line."""

from __future__ import annotations

import io
import sys
import threading
from pathlib import Path

import pytest

from flows.study import _cause, alone


def test_whoever_comes_second_says_so_once_and_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    held, told, order = threading.Event(), threading.Event(), list[str]()

    class Said(io.StringIO):
        def flush(self) -> None:
            told.set()

    def first() -> None:
        with alone():
            held.set()
            told.wait(60)
            order.append("the first ends")

    said = Said()
    monkeypatch.setattr(sys, "stderr", said)
    thread = threading.Thread(target=first)
    thread.start()
    held.wait(60)
    with alone():
        order.append("the second begins")
    thread.join()
    assert order == ["the first ends", "the second begins"]
    assert said.getvalue() == "another launch is making its tables in this folder: waiting for it\n"


def test_a_dvc_that_is_at_work_is_named_and_its_lock_is_not_to_be_removed() -> None:
    """As DVC 3.67 says it."""
    said = (
        "ERROR: '/data/empg/reports/grid' is busy, it is being blocked by:\n"
        "  (PID 4711): /data/.venv/bin/dvc repro\n"
        "\n"
        "If there are no processes with such PIDs, you can manually remove '/data/empg/.dvc/tmp/rwlock' and try again.\n"
    )
    assert _cause(said) == (
        "process 4711 (/data/.venv/bin/dvc repro) is at work on the same files: wait for it, or stop it, and launch again"
    )


def test_the_error_of_a_stage_is_told_before_dvcs_last_words() -> None:
    said = "warning: odd\nerror: results/grid/x is malformed\nERROR: failed to reproduce 'table': exit status 1\n"
    assert _cause(said) == "results/grid/x is malformed"
    assert _cause("ERROR: you are not inside of a DVC repository\n") == "ERROR: you are not inside of a DVC repository"
    assert _cause("") == "no output"
