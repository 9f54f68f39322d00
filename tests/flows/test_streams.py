"""Sentences on a terminal break between words; elsewhere a line stays one."""

from __future__ import annotations

import sys

import pytest

from flows.streams import say

LINE = "The curves grow in `make ui`, in another terminal. Ctrl-C stops; the same command goes on."


@pytest.mark.parametrize("terminal", [True, False])
def test_no_word_is_cut(terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    say(LINE, "", "next")
    printed = capsys.readouterr().out.splitlines()
    assert " ".join(printed) == f"{LINE}  next"
    assert (max(map(len, printed)) <= 80) == terminal
