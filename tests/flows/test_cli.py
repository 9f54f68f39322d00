"""``empg <command>``: the right command gets the arguments, and a shell is told what may follow."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from flows import cli
from flows.__main__ import main as flows

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("arguments", "module", "given"),
    [
        (["run", "seed=1"], "flows.__main__.main", ["seed=1"]),
        (["plan", "seed=1"], "flows.__main__.main", ["seed=1", "plan=true"]),
        (["evaluate", "checkpoint=x"], "flows.evaluate.main", ["checkpoint=x"]),
        (["report", "runs=x"], "flows.report.main", ["runs=x"]),
        (["--version"], "flows.__main__.main", ["--version"]),
    ],
)
def test_a_command_gets_its_arguments(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], module: str, given: list[str]
) -> None:
    got: list[str] = []
    monkeypatch.setattr(module, lambda rest: got.extend(rest) or 7)
    assert cli.main(arguments) == 7
    assert got == given


def test_every_command_is_there_and_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    said = capsys.readouterr().out
    for command, module in cli._MODULES.items():
        assert f"  {command} " in said
        assert callable(__import__(module, fromlist=["main"]).main)


def test_an_unknown_command_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evalute"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "did you mean evaluate" in line


def test_the_version_names_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert flows(["--version"]) == 0
    assert capsys.readouterr().out.startswith("empg 0.")


@pytest.mark.parametrize(("line", "among"), [("empg ev", "evaluate"), ("empg run scale=l", "scale=laptop")])
def test_a_shell_is_told_what_may_follow(line: str, among: str) -> None:
    command = ["bash", "-c", "exec bin/empg -sc query=bash"]
    asked = os.environ | {"COMP_LINE": line, "COMP_POINT": str(len(line))}
    done = subprocess.run(command, cwd=ROOT, env=asked, capture_output=True, text=True, timeout=60, check=True)
    assert among in done.stdout.split()
