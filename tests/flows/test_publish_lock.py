"""Two launches that end at once: one makes its tables after the other."""

from __future__ import annotations

import io
import sys
import threading
from pathlib import Path

import pytest

from flows.publish import study_lock


def test_whoever_comes_second_says_so_once_and_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    held, told, order = threading.Event(), threading.Event(), list[str]()

    class Said(io.StringIO):
        def flush(self) -> None:
            told.set()

    def first() -> None:
        with study_lock():
            held.set()
            told.wait(60)
            order.append("the first ends")

    said = Said()
    monkeypatch.setattr(sys, "stderr", said)
    thread = threading.Thread(target=first)
    thread.start()
    held.wait(60)
    with study_lock():
        order.append("the second begins")
    thread.join()
    assert order == ["the first ends", "the second begins"]
    assert len(said.getvalue().splitlines()) == 1
    assert "waiting" in said.getvalue()
