"""MLflow's page of a launch whose process was killed stops saying that it is running."""

from __future__ import annotations

import gc
import json
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from flows import sync
from pipelines.tracking.mlflow import MlflowSettings, open_launches
from pipelines.tracking.mlflow.database import Database
from pipelines.tracking.mlflow.launch import MlflowLaunch
from pipelines.tracking.protocol import TrackedCell, TrackedLaunch
from tests.tracking.databases import with_mlflow

# Opens a launch of one cell in the working folder, says so, and waits to be killed.
_CHILD = """
import sys, time
from tests.tracking.test_killed_launches import launch, uri
opened = launch(sys.argv[1])
opened.start()
print("open", flush=True)
time.sleep(600)
"""


def uri() -> str:
    return f"sqlite:///{Path.cwd() / 'mlflow.db'}"


def launch(key: str) -> MlflowLaunch:
    cell = TrackedCell("cell", "a cell", {"benchmark": "alfworld"}, [Path.cwd() / "runs" / "cell" / "seed0"])
    return MlflowLaunch(uri(), TrackedLaunch(key, key, {}, [cell], memory()))


def memory() -> Path:
    return Path.cwd() / "runs" / ".grids"


def statuses(key: str) -> set[str]:
    """Of the launch's run and its cell's."""
    from mlflow.tracking import MlflowClient

    ids = known(key)
    return {MlflowClient(uri()).get_run(ids[name]).info.status for name in ("grid", "cell")}


def known(key: str) -> Any:
    return json.loads((memory() / f"{key}.json").read_text())


def killed() -> Sequence[Path]:
    return MlflowSettings(uri=uri()).killed_launches(memory())


def end_killed() -> None:
    for file in killed():
        MlflowSettings(uri=uri()).end_killed_launch(file)


def dies() -> None:
    """What the operating system does with a process's locks."""
    for lock in open_launches._HELD.values():
        lock.release()
    open_launches._HELD.clear()


@pytest.fixture(autouse=True)
def database(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with_mlflow(tmp_path, tmp_path_factory)


def test_a_killed_launch_is_ended_and_goes_on_in_its_page(tmp_path: Path) -> None:
    repository = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", _CHILD, "killed"]
    with subprocess.Popen(command, env={"PYTHONPATH": repository}, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "open\n"
            assert not killed()
            assert statuses("killed") == {"RUNNING"}  # its process is there
        finally:
            child.send_signal(signal.SIGKILL)
    assert killed()
    end_killed()
    assert statuses("killed") == {"KILLED"}
    assert not killed()

    before = known("killed")
    again = launch("killed")
    again.start()
    assert statuses("killed") == {"RUNNING"}
    again.end("FINISHED", frozenset([tmp_path / "runs" / "cell" / "seed0"]), "a table")
    assert known("killed") == before
    end_killed()
    assert statuses("killed") == {"FINISHED"}
    assert [path.name for path in memory().iterdir()] == ["killed.json"]


def test_sync_tells_what_a_launch_could_not_tell_at_its_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process has lost the database, and dies later."""
    done = launch("done")
    done.start()
    with monkeypatch.context() as broken:
        broken.setattr(MlflowLaunch, "_client", property(lambda self: 1 / 0))
        with pytest.raises(ZeroDivisionError):
            done.end("FINISHED", frozenset(), "a table")
    del done
    gc.collect()
    assert sync.main([f"execution.trackers.mlflow.uri={uri()}"]) == 0
    assert statuses("done") == {"RUNNING"}  # its process is there
    dies()
    assert sync.main([f"execution.trackers.mlflow.uri={uri()}"]) == 0
    assert statuses("done") == {"FINISHED"}
    assert re.fullmatch(r"killed: runs/.grids/done-\w+\.open\.json\n", capsys.readouterr().out)


def test_a_launch_that_is_killed_while_it_opens_its_pages_goes_on_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking import MlflowClient

    with monkeypatch.context() as broken:
        broken.setattr(MlflowLaunch, "_adopt", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            launch("begun").start()
    dies()
    before = known("begun")
    launch("begun").start()
    assert known("begun") == before
    client = MlflowClient(uri())
    assert len(client.search_runs([e.experiment_id for e in client.search_experiments()])) == 2


def test_without_its_lock_a_launch_leaves_no_file_and_takes_none_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process, a sync that ends what the launch has left, keeps it too long."""
    monkeypatch.setattr(open_launches, "_PATIENCE_S", 0.1)
    launch("both").start()
    held = dict(open_launches._HELD)
    open_launches._HELD.clear()  # now it is another's
    (file,) = memory().glob("*.open.json")
    before = file.read_text()
    second = launch("both")
    second.start()
    second.end("FINISHED", frozenset(), "a table")
    assert statuses("both") == {"FINISHED"}
    assert file.read_text() == before
    open_launches._HELD.update(held)
    dies()


def test_sync_fails_where_the_database_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    launch("killed").start()
    dies()
    with monkeypatch.context() as broken:
        broken.setattr(Database, "end_running", lambda *_: 1 / 0)
        assert sync.main([f"execution.trackers.mlflow.uri={uri()}"]) == 1
    said = capsys.readouterr()
    assert re.fullmatch(r"still waits: runs/.grids/killed-\w+\.open\.json\n", said.out)
    assert "still shows a launch that was killed as running: division by zero" in said.err
    assert sync.main([f"execution.trackers.mlflow.uri={uri()}"]) == 0
    assert statuses("killed") == {"KILLED"}


def test_what_was_deleted_lies_elsewhere_or_is_odd_is_left() -> None:
    from mlflow.tracking import MlflowClient

    launch("deleted").start()
    dies()
    ids = known("deleted")
    (memory() / "a.open.json").write_text("[]")
    (memory() / "b.open.json").write_text('{"database": "another"}')
    MlflowClient(uri()).delete_run(ids["grid"])
    end_killed()
    assert MlflowClient(uri()).get_run(ids["grid"]).info.status == "RUNNING"
    assert MlflowClient(uri()).get_run(ids["cell"]).info.status == "KILLED"
    assert sorted(path.name for path in memory().iterdir()) == ["a.open.json", "b.open.json", "deleted.json"]


def test_launches_that_ended_ask_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = launch("ended")
    ended.start()
    ended.end("FAILED", frozenset(), "a table")
    monkeypatch.setattr("pipelines.tracking.mlflow.database.Deadline.call", lambda *_: pytest.fail("it was asked"))
    end_killed()
