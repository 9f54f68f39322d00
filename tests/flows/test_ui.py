"""The pages, without Prefect's server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows import ui
from pipelines.tracking.mlflow import MlflowSettings
from pipelines.tracking.protocol import Pages
from pipelines.tracking.tensorboard import TensorboardSettings
from tests.tracking.databases import with_mlflow


@pytest.fixture(autouse=True)
def _without_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def server(port: int) -> Iterator[str]:
        yield "http://127.0.0.1:4200/api"

    monkeypatch.setattr(ui, "prefect_server", server)
    monkeypatch.setattr("signal.signal", lambda *_: None)


def interrupted(_: float) -> None:
    raise KeyboardInterrupt


def test_a_tracker_that_cannot_be_opened_has_no_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(uri: str) -> None:
        raise OSError("connection refused")

    monkeypatch.setattr("pipelines.tracking.mlflow.database._migrate", refused)
    monkeypatch.setattr(ui, "serving", lambda _: pytest.fail("MLflow was started"))
    monkeypatch.setattr(ui.time, "sleep", interrupted)
    assert ui.main(["execution.trackers.mlflow.uri='postgresql://u:secret@down/db'"]) == 0
    output = capsys.readouterr()
    assert "http://127.0.0.1:4200/runs" in output.out
    assert "MLflow" not in output.out
    (line,) = output.err.splitlines()
    assert "postgresql://u:***@down/db" in line
    assert "connection refused" in line


def test_every_tracker_that_has_pages_is_served(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with_mlflow(tmp_path, tmp_path_factory)
    monkeypatch.chdir(tmp_path)
    started: list[Pages] = []

    @contextmanager
    def serving(pages: Pages) -> Iterator[object]:
        started.append(pages)
        yield type("Program", (), {"poll": lambda self: None})()

    monkeypatch.setattr(ui, "serving", serving)
    monkeypatch.setattr(ui.time, "sleep", interrupted)
    assert ui.main(["tracker=[mlflow,tensorboard,wandb]", "--port", "6543"]) == 0
    assert {name for pages in started for name in pages.addresses} == {"MLflow", "MLflow, comparison", "TensorBoard"}
    assert sum(":6543/" in address for pages in started for address in pages.addresses.values()) == 1
    output = capsys.readouterr().out
    assert all(address in output for pages in started for address in pages.addresses.values())


def test_a_database_with_a_password_is_no_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.tracking.mlflow.comparison.last_comparison", lambda *_: None)
    pages = MlflowSettings(uri="sqlite:////nowhere/secret.db").pages(Path("runs"), 1)
    assert "secret" not in " ".join(pages.command)
    assert "secret" in pages.environment["MLFLOW_BACKEND_STORE_URI"]


def test_a_program_that_ends_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As where its port is taken; the others are ended with it."""
    ends = Pages([sys.executable, "-c", "raise SystemExit(1)"], {}, {"TensorBoard": "http://127.0.0.1:6006/"})
    monkeypatch.setattr(TensorboardSettings, "pages", lambda *_: ends)
    assert ui.main(["tracker=[tensorboard]"]) == 1
    assert "6006" in capsys.readouterr().err
