"""One local Prefect server per folder, on loopback, with everything it writes below ``.prefect/``.

Launches and ``make ui`` that overlap share it; the last one to leave stops it. A server whose launch was killed is
adopted by the next.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from flows.launch.libraries import exempt_loopback
from flows.windows.prefect_watch import watched
from pipelines.errors import ServerDead
from pipelines.file_locks import is_stopped
from pipelines.files import atomic_write_text

HOME = Path(".prefect")
_START_S = 90.0
_IDLE_S = 20.0  # of a start without any progress
_ANSWER_S = 6.0  # a healthy server answers in milliseconds, on a machine with much to do in seconds
_LEAVE_S = 10.0
_GLANCE_S = 0.5  # between two looks at who holds the server's lock
_KILLED = "its process was killed"


def settings(home: Path = HOME) -> dict[str, str]:
    """Environment of server and clients: no telemetry, no file outside ``home``."""
    home = home.resolve()
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(home / "storage"),
        "PREFECT_SERVER_MEMO_STORE_PATH": str(home / "memo_store.toml"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_CLIENT_MAX_RETRIES": "1",
        "PREFECT_API_REQUEST_TIMEOUT": "20",
        "DO_NOT_TRACK": "1",
    }


@contextmanager
def prefect_server(port: int = 0, meanwhile: Callable[[], object] = lambda: None) -> Iterator[str]:
    """Start this folder's server, or use the one that runs; yield its API address and export it.

    ``meanwhile`` runs while the server starts.

    Raises:
        ServerDead: it did not answer in time, and the message names its log; or ``.prefect/`` cannot be used.
    """
    from filelock import Timeout

    exempt_loopback()
    os.environ.update(settings())
    users = HOME / "users"
    mine = users / str(os.getpid())
    with _usable_home(users), _turn(_START_S):
        known = _server_record()["api"]
        started = None if known and _healthy(known) else _start(port or free_port())
        try:
            meanwhile()
            address = _wait(*started) if started else known
            os.environ["PREFECT_API_URL"] = address
            if not any(_is_user(user) for user in users.iterdir()):
                with watched(_server_record()["pid"], lambda: _healthy(address)):
                    mark_crashed(address)  # nobody's run is alive
            mine.touch()
        except BaseException:
            if started:
                stop_process(started[0].pid)
            raise
    try:
        with watched(_server_record()["pid"], lambda: _healthy(address)):
            yield address
    finally:
        mine.unlink(missing_ok=True)
        with suppress(Timeout), _turn(_LEAVE_S):  # else whoever holds it stops the server, or adopts it
            if not any(_is_user(user) for user in users.iterdir()):
                stop_process(_server_record()["pid"])


@contextmanager
def _usable_home(users: Path) -> Iterator[None]:
    from filelock import Timeout

    try:
        users.mkdir(parents=True, exist_ok=True)
        yield
    except Timeout:
        raise ServerDead(
            f"another launch holds {HOME.absolute() / 'server.lock'} and does not go on (it was stopped, or cannot start the server): "
            "end it"
        ) from None
    except OSError as error:
        raise ServerDead(
            f"Prefect's server cannot use the folder {HOME.absolute()} ({error}): move what is there away, then launch again"
        ) from None


@contextmanager
def _turn(patience_s: float) -> Iterator[None]:
    """The server's lock: one launch at a time starts it or stops it. Raises filelock.Timeout: whoever has the lock keeps it, or was
    stopped (Ctrl-Z), and then is not waited for."""
    from filelock import FileLock, Timeout

    lock, holder, began = FileLock(HOME / "server.lock"), HOME / "server.holder", time.monotonic()
    while not lock.is_locked:
        try:
            lock.acquire(timeout=min(_GLANCE_S, patience_s))
        except Timeout:
            if time.monotonic() - began >= patience_s or _is_stopped(holder):
                raise
    try:
        with suppress(OSError):  # a full disk: then the others wait
            holder.write_text(str(os.getpid()))
        yield
    finally:
        lock.release()


def _is_stopped(holder: Path) -> bool:
    try:
        return is_stopped(int(holder.read_text("utf-8")))
    except (OSError, ValueError):
        return False


def mark_crashed(address: str, name: str | None = None, but: str | None = None) -> None:
    """Flow runs (of this name, other than ``but``) that a killed process left running are crashed, their tasks too. A log: what
    Prefect does not take is left as it is."""
    try:
        _mark_crashed(address, name, but)
    except Exception as error:
        print(
            f"warning: Prefect may still show runs that were killed as running ({type(error).__name__})",
            file=sys.stderr,
        )


def _mark_crashed(address: str, name: str | None, but: str | None) -> None:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
    from prefect.states import Crashed

    alive = {"type": {"any_": ["RUNNING", "PENDING"]}, "name": None}
    runs = FlowRunFilter.model_validate({"state": alive, "name": {"any_": [name]} if name else None})
    tasks = TaskRunFilter.model_validate({"state": alive})
    with SyncPrefectClient(address) as client:
        for task in client.read_task_runs(flow_run_filter=runs, task_run_filter=tasks):
            if str(task.flow_run_id) != but:
                client.set_task_run_state(task.id, Crashed(message=_KILLED), force=True)
        for run in client.read_flow_runs(flow_run_filter=runs):
            if str(run.id) != but:
                client.set_flow_run_state(run.id, Crashed(message=_KILLED), force=True)


def stop_process(pid: int) -> None:
    """End a process that leads a session, and what it started."""
    import psutil

    for kill, patience_s in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 1.0)):
        try:
            if kill == signal.SIGTERM and psutil.Process(pid).status() == psutil.STATUS_STOPPED:
                continue  # it would not hear
            os.killpg(pid, kill)
            psutil.Process(pid).wait(timeout=patience_s)
        except (ProcessLookupError, PermissionError, psutil.NoSuchProcess, psutil.TimeoutExpired):
            pass


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(port: int) -> tuple[subprocess.Popen[bytes], str]:
    """Also ends the server that was known and does not answer, if it is one: it would hold the database."""
    old = _server_record()
    if _is_server(old["pid"], old["api"]):
        stop_process(old["pid"])
    address = f"http://127.0.0.1:{port}/api"
    environment = {**os.environ, **settings(), "PREFECT_SERVER_UI_API_URL": address, "PREFECT_UI_API_URL": address}
    environment.pop("PREFECT_API_URL", None)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (HOME / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        atomic_write_text(HOME / "server.json", json.dumps({"api": address, "pid": process.pid}))
    except BaseException:  # a full disk: a server that nobody knows would run for ever
        stop_process(process.pid)
        raise
    return process, address


def _is_server(pid: int, address: str) -> bool:
    """Whether the process is the server of that address; another may have got its number."""
    import psutil

    try:
        command = psutil.Process(pid).cmdline()
    except (psutil.Error, ValueError):
        return False
    return "prefect" in command and command[-1:] == [address.removesuffix("/api").rpartition(":")[2]]


def _wait(process: subprocess.Popen[bytes], address: str) -> str:
    """For a server that starts, on a machine with much to do; one that has computed nothing for a while hangs."""
    began, worked, computed = time.monotonic(), time.monotonic(), -1.0
    while not _healthy(address):
        now, until_now = time.monotonic(), _cpu_s(process.pid)
        if until_now > computed:
            worked, computed = now, until_now
        if process.poll() is not None or now - worked > _IDLE_S or now - began > _START_S:
            raise ServerDead(
                f"Prefect's server did not start at {address}: see {HOME / 'server.log'}, then launch again"
            )
        time.sleep(0.1)
    return address


def _cpu_s(pid: int) -> float:
    import psutil

    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return -1.0
    return float(times.user + times.system)


def _server_record() -> dict[str, Any]:
    try:
        record = json.loads((HOME / "server.json").read_text("utf-8"))
        return {"api": str(record["api"]), "pid": int(record["pid"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"api": "", "pid": -1}


def _is_user(user: Path) -> bool:
    """Whether the process lives; the file of one that does not is removed."""
    import psutil

    try:
        alive = psutil.Process(int(user.name)).create_time() <= user.stat().st_mtime + 1
    except (psutil.NoSuchProcess, ValueError, OSError):
        alive = False
    if not alive:
        user.unlink(missing_ok=True)
    return alive


def _healthy(address: str) -> bool:
    import httpx

    try:
        return httpx.get(f"{address}/health", timeout=_ANSWER_S).is_success
    except httpx.HTTPError:
        return False
