"""What follows a launch: what DVC says told in a line."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from flows import publish
from flows.publish import _cause


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


def test_the_error_of_a_stage_is_reported_before_dvcs_last_lines() -> None:
    said = "warning: odd\nerror: results/grid/x is malformed\nERROR: failed to reproduce 'table': exit status 1\n"
    assert _cause(said) == "results/grid/x is malformed"
    assert _cause("ERROR: you are not inside of a DVC repository\n") == "ERROR: you are not inside of a DVC repository"
    assert _cause("") == "no output"


def test_dvcs_notes_are_nobody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They hold pickles, by default where all users may write."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_SITE_CACHE_DIR", raising=False)
    (tmp_path / ".dvc").mkdir()
    told: list[dict[str, str]] = []

    def run(command: list[str], env: dict[str, str], **_: object) -> subprocess.CompletedProcess[str]:
        told.append(env)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(publish.subprocess, "run", run)
    publish._dvc("repro")
    folder = Path(told[0]["DVC_SITE_CACHE_DIR"])
    assert folder.is_relative_to(tmp_path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", "/a/users/own")
    publish._dvc("repro")
    assert told[1]["DVC_SITE_CACHE_DIR"] == "/a/users/own"
