"""A second launch of runs that another one has is told so at once; of other runs it is welcome."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from flows.__main__ import main
from flows.configure.compose import compose
from flows.launch import claims
from flows.launch.claims import claimed
from pipelines.errors import RunLocked
from pipelines.run_folder import run_folder
from tests.flows.test_command_line import environment, run

A, B, C = Path("runs/a/seed0"), Path("runs/b/seed0"), Path("runs/c/seed0")


def test_runs_of_a_living_launch_are_refused_and_others_are_not(tmp_path: Path) -> None:
    with claimed([A, B], tmp_path):
        with claimed([C], tmp_path):
            pass
        for wanted, said in (([B, C], "1 of these 2 runs"), ([B], "runs/b/seed0")):
            with pytest.raises(RunLocked, match=rf"{said} .*process {os.getpid()}.*stop it"), claimed(wanted, tmp_path):
                pass
    with claimed([A, B, C], tmp_path):
        pass
    assert [path for path in (tmp_path / ".launches").iterdir() if path.is_dir()] == []


def test_a_run_is_the_same_by_another_spelling_of_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "linked").symlink_to("runs")
    spellings = [A, A.absolute(), Path("runs/../runs/a/seed0"), Path("linked/a/seed0")]
    for one in spellings:
        with claimed([one], Path("runs")):
            for other in spellings:
                with pytest.raises(RunLocked, match=f"^{other} "), claimed([other], other.parents[1]):
                    pass


def test_a_killed_launch_has_nothing_any_longer(tmp_path: Path) -> None:
    code = (
        "import time; from pathlib import Path; from flows.launch.claims import claimed\n"
        f"with claimed([Path({str(A)!r})], Path({str(tmp_path)!r})): print('mine', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment())
    assert other.stdout is not None
    assert other.stdout.readline() == "mine\n"
    with pytest.raises(RunLocked, match=f"process {other.pid},"), claimed([A], tmp_path):
        pass
    other.send_signal(signal.SIGKILL)
    other.wait()
    (left,) = (path for path in (tmp_path / ".launches").iterdir() if path.is_dir())
    with claimed([A], tmp_path) as folder:
        assert [path for path in (tmp_path / ".launches").iterdir() if path.is_dir()] == [folder]
    assert left != folder


def test_a_launch_that_was_stopped_while_it_claims_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_PATIENCE_S", 0.1)
    (tmp_path / ".launches").mkdir()
    stopped = FileLock(tmp_path / ".launches" / ".lock")
    with stopped, pytest.raises(RunLocked, match=r"\.launches/\.lock.* end it"), claimed([A], tmp_path):
        pass
    with claimed([A], tmp_path):
        pass


def test_what_is_shown_of_a_launch_holds_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["flows", "execution.trackers.mlflow.uri=postgresql://u:secret@h/db", "seed=0"])
    with claimed([A], tmp_path):
        with pytest.raises(RunLocked, match=r"postgresql://u:\*\*\*@h/db seed=0\)") as caught, claimed([A], tmp_path):
            pass
        (kept,) = (tmp_path / ".launches").glob("*/*.json")
        assert "secret" not in str(caught.value) + kept.read_text()


def test_the_second_of_two_grids_is_one_line_and_starts_nothing(tmp_path: Path) -> None:
    sweep = ["-m", "+experiment=glob(table2/*)", "seed=0,1", "scale=smoke", f"execution.runs={tmp_path / 'runs'}"]
    taken = run_folder(compose(["+experiment=table2/deepsearch_32b_dapo_full", "seed=1", *sweep[3:]]))
    with claimed([taken, C], tmp_path / "runs"):
        done = run(*sweep, cwd=tmp_path)
    assert done.returncode == 1
    said, heavy = done.stderr.splitlines()
    assert said.startswith("error: 1 of these 8 runs ")
    assert f"process {os.getpid()}" in said
    assert heavy == "heavy: []"
    assert not (tmp_path / ".prefect").exists()


def test_a_single_run_is_claimed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("flows.windows.opened.windows", None)
    overrides = ["scale=smoke", f"execution.runs={tmp_path}"]
    with claimed([run_folder(compose(overrides))], tmp_path):
        assert main(overrides) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert str(run_folder(compose(overrides))) in line
