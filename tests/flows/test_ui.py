"""The pages, without their servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flows import ui


def test_without_its_database_mlflow_has_no_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def server(port: int) -> Iterator[str]:
        yield "http://127.0.0.1:4200/api"

    def refused(uri: str) -> None:
        raise OSError("connection refused")

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.tracking.mlflow.database._migrate", refused)
    monkeypatch.setattr(ui, "prefect_server", server)
    monkeypatch.setattr(ui, "start_mlflow", lambda *_: pytest.fail("MLflow was started"))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("signal.pause", interrupted)
    assert ui.main(["--tracking-uri", "postgresql://u:secret@down/db"]) == 0
    told = capsys.readouterr()
    assert told.out == "Prefect: http://127.0.0.1:4200/runs\nCtrl-C ends it\n"
    (line,) = told.err.splitlines()
    assert "postgresql://u:***@down/db" in line
    assert "connection refused" in line
