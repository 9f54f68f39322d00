"""The pages, without Prefect's server."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows import ui
from flows.windows.prefect_server import free_port
from flows.windows.start_page import start_page
from pipelines.tracking.mlflow import MlflowSettings
from pipelines.tracking.mlflow.database import Database
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
    monkeypatch.setattr(ui, "answers", lambda _: True)


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_tracker_that_cannot_be_opened_has_no_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(uri: str) -> None:
        raise OSError("connection refused")

    monkeypatch.setattr("pipelines.tracking.mlflow.database._ask", refused)
    monkeypatch.setattr(ui, "serving", lambda _: pytest.fail("MLflow was started"))
    monkeypatch.setattr(ui, "check_alive", interrupted)
    assert ui.main(["execution.trackers.mlflow.uri='postgresql://u:secret@down/db'"]) == 0
    output = capsys.readouterr()
    assert "/prefect" in output.out
    assert "MLflow" not in output.out
    (line,) = [line for line in output.err.splitlines() if line.startswith("warning: ")]
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
    monkeypatch.setattr(ui, "check_alive", interrupted)
    assert ui.main(["tracker=[mlflow,tensorboard,wandb]", "--port", "6543"]) == 0
    assert {name for pages in started for name in pages.addresses()} == {"MLflow", "comparison", "TensorBoard"}
    assert [str(port) in " ".join(pages.command) for port, pages in enumerate(started, 6544)] == [True, True]
    output = capsys.readouterr().out
    for said in ("http://127.0.0.1:6543/mlflow", "http://127.0.0.1:6543/tensorboard", "no launch of many yet"):
        assert said in output
    (forwarding,) = [line for line in output.splitlines() if "ssh" in line]
    assert all(f"-L {port}:127.0.0.1:{port}" in forwarding for port in (6543, 6544, 6545, 4200))


def test_a_database_with_a_password_is_no_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Database, "client", object())
    pages = MlflowSettings(uri="sqlite:////nowhere/secret.db").pages(Path("runs"), 1)
    assert "secret" not in " ".join(pages.command)
    assert "secret" in pages.environment["MLFLOW_BACKEND_STORE_URI"]


def test_the_start_page_leads_to_each_page() -> None:
    import httpx

    port, known = free_port(), {"comparison": "no launch of many yet", "Prefect": "http://127.0.0.1:2/runs"}
    with start_page(port, lambda: known):
        assert "comparison: no launch" in httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).text
        assert httpx.get(f"http://127.0.0.1:{port}/comparison", trust_env=False).status_code == 404
        known["comparison of alfworld"] = "http://127.0.0.1:1/#/a?b=c"  # a launch begins
        found = httpx.get(f"http://127.0.0.1:{port}/comparison-of-alfworld", trust_env=False)
        assert (found.status_code, found.headers["location"]) == (302, "http://127.0.0.1:1/#/a?b=c")
        assert "/prefect" in httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).text
        assert httpx.get(f"http://127.0.0.1:{port}/nothing", trust_env=False).status_code == 404


def test_a_port_that_is_taken_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert ui.main(["--port", str(port)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"port {port} " in line
    assert "PORT=" in line


def test_nothing_is_printed_of_a_page_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ui, "answers", lambda _: False)
    monkeypatch.setattr(ui, "_PATIENCE_S", 0.0)
    assert ui.main(["tracker=[]"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "Prefect does not answer at http://127.0.0.1:4200/runs" in output.err


def test_a_program_that_ends_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As where its port is taken; the others are ended with it."""
    ends = Pages([sys.executable, "-c", "raise SystemExit(1)"], {}, lambda: {"TensorBoard": "http://127.0.0.1:6006/"})
    monkeypatch.setattr(TensorboardSettings, "pages", lambda *_: ends)
    assert ui.main(["tracker=[tensorboard]"]) == 1
    assert "6006" in capsys.readouterr().err


def test_a_database_that_is_locked_for_a_moment_loses_no_link() -> None:
    told = iter([{"MLflow": "http://1/"}, OSError("locked"), {"MLflow": "http://1/", "comparison": "http://2/"}])

    def addresses() -> dict[str, str]:
        now = next(told)
        if isinstance(now, OSError):
            raise now
        return now

    looks = ui.Looks([Pages([], {}, addresses)], "http://3/")
    first = looks.addresses()
    assert first == {"MLflow": "http://1/", "Prefect": "http://3/"}
    assert looks.addresses() == first
    assert looks.addresses() == first | {"comparison": "http://2/"}
