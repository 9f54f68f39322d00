"""Prefect's server and MLflow's database: dead, hung, slow, locked, gone."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from flows.windows.prefect_server import free_port
from tests.faults.scenarios.scene import DATABASE, WAITS_S, Scene

WITHOUT_PAGES = r"warning: .*(without its pages?|Prefect's pages)"
LATER = r"warning: MLflow at .*flows\.sync"
NOT_OPENED = r"warning: MLflow at .*cannot be opened, the launch goes on without it"


def _signal_server(scene: Scene, which: int) -> None:
    server = scene.server()
    assert server is not None
    with suppress(ProcessLookupError):
        os.killpg(server, which)


def prefect_dead(scene: Scene) -> None:
    """Killed in the middle of a run."""
    _lose_server(scene, signal.SIGKILL)


def prefect_hung(scene: Scene) -> None:
    """Stopped in the middle of a run."""
    _lose_server(scene, signal.SIGSTOP)


def _lose_server(scene: Scene, which: int) -> None:
    scene.furnish()
    launch = scene.start()
    if scene.until_it_plays(launch):
        _signal_server(scene, which)
    scene.ends(launch, says=WITHOUT_PAGES)
    scene.same_bytes()
    scene.nothing_is_left_running()


def prefect_hung_before(scene: Scene) -> None:
    """A killed launch left its server, which is stopped when the next begins."""
    scene.furnish()
    killed = scene.start()
    if scene.until_it_plays(killed):
        killed.process.kill()
        killed.process.wait()
        _signal_server(scene, signal.SIGSTOP)
    scene.continues()
    scene.nothing_is_left_running()


def prefect_slow(scene: Scene) -> None:
    """It answers, but only after seconds: stopped for most of the time."""
    scene.furnish()
    launch, over = scene.start(), threading.Event()
    if scene.until_it_plays(launch):
        slows = threading.Thread(target=_slow_down, args=(scene, over))
        slows.start()
        scene.ends(launch)
        over.set()
        slows.join()
    scene.same_bytes()
    scene.nothing_is_left_running()


def _slow_down(scene: Scene, over: threading.Event) -> None:
    while not over.wait(0.2):
        _signal_server(scene, signal.SIGSTOP)
        over.wait(4.0)
        _signal_server(scene, signal.SIGCONT)


def launch_stopped_while_it_starts_prefect(scene: Scene) -> None:
    """Another launch in the folder does not wait for it."""
    scene.furnish()
    stopped = scene.start("seed=1")
    if scene.until(lambda: scene.server() is not None, stopped):
        stopped.signal_group(signal.SIGSTOP)
    scene.ends(scene.start(), says=WITHOUT_PAGES)
    scene.same_bytes(beside_others=True)
    stopped.signal_group(signal.SIGCONT)
    scene.ends(stopped, within_s=scene.calm.seconds * 4 + WAITS_S)
    scene.nothing_is_left_running()


@contextmanager
def _locked(scene: Scene) -> Iterator[None]:
    with sqlite3.connect(scene.work / DATABASE, isolation_level=None, timeout=60.0) as lock:
        lock.execute("begin exclusive")
        yield
        lock.execute("rollback")


def _deliver(scene: Scene) -> None:
    scene.ends(scene.start(module="flows.sync"))
    scene.page_is_whole()


def mlflow_locked(scene: Scene) -> None:
    """Before the launch, until it has ended."""
    scene.furnish()
    with _locked(scene):
        scene.ends(scene.start(), says=NOT_OPENED)
    scene.same_bytes()
    _deliver(scene)


def mlflow_locked_within(scene: Scene) -> None:
    """From the middle of the run, until it has ended."""
    scene.furnish()
    launch = scene.start()
    if scene.until_it_plays(launch):
        with _locked(scene):
            scene.ends(launch, says=LATER)
    scene.same_bytes()
    _deliver(scene)


def mlflow_locked_before_the_run(scene: Scene) -> None:
    """After the launch has opened it, before the run asks for the first time."""
    scene.furnish()
    launch = scene.start()
    if scene.until(lambda: any((scene.work / "runs").glob("*/seed0/run.log")), launch):
        with _locked(scene):
            scene.ends(launch, says=LATER, within_s=scene.calm.seconds * 1.3 + WAITS_S)
    scene.same_bytes()
    _deliver(scene)


def mlflow_note_damaged(scene: Scene) -> None:
    """What a run kept for a locked database is not as it was written: its page is completed from the results."""
    scene.furnish()
    with _locked(scene):
        scene.ends(scene.start(), says=NOT_OPENED)
    for note in scene.work.glob("runs/*/*/mlflow_undelivered.json"):
        note.write_bytes(note.read_bytes()[:-3] + b"\0\xff{")
    scene.ends(scene.start(module="flows.sync"), says=r"warning: .*mlflow_undelivered\.json is damaged")
    scene.page_is_whole()
    scene.ends(scene.start(module="flows.sync"))  # nothing is owed any more, and nothing is said


def mlflow_gone(scene: Scene) -> None:
    """Its file is removed in the middle of the run; the next launch has a new one."""
    scene.furnish()
    launch = scene.start()
    if scene.until_it_plays(launch):
        for file in scene.work.glob(f"{DATABASE}*"):
            file.unlink()
    scene.ends(launch)
    scene.same_bytes()
    scene.ends(scene.start("seed=1"))
    scene.page_is_whole()


def mlflow_server_dead(scene: Scene) -> None:
    """Nobody listens at its address."""
    scene.furnish()
    uri = f"execution.trackers.mlflow.uri=http://127.0.0.1:{free_port()}"
    scene.ends(scene.start(uri), says=NOT_OPENED)
    scene.same_bytes()
    scene.ends(scene.start(uri, module="flows.sync"), codes=1, says="warning: MLflow at")


def mlflow_server_hung(scene: Scene) -> None:
    """It accepts connections and answers nothing."""
    scene.furnish()
    with socket.create_server(("127.0.0.1", 0)) as mute:
        uri = f"execution.trackers.mlflow.uri=http://127.0.0.1:{mute.getsockname()[1]}"
        scene.ends(scene.start(uri), says=NOT_OPENED)
        scene.same_bytes()
        scene.ends(scene.start(uri, module="flows.sync"), codes=1, says="warning: MLflow at")


def all_servers_hung(scene: Scene) -> None:
    """Prefect's is stopped and MLflow's database is locked, both from the middle of the run on: the waits' sum is bounded."""
    scene.furnish()
    launch = scene.start()
    if scene.until_it_plays(launch):
        _signal_server(scene, signal.SIGSTOP)
        with _locked(scene):
            scene.ends(launch, says=LATER, within_s=scene.calm.seconds * 1.3 + WAITS_S)
    scene.same_bytes()
    _deliver(scene)
    scene.nothing_is_left_running()


SCENARIOS = (
    prefect_dead, prefect_hung, prefect_hung_before, prefect_slow, launch_stopped_while_it_starts_prefect, mlflow_locked,
    mlflow_locked_within, mlflow_locked_before_the_run, mlflow_note_damaged, mlflow_gone, mlflow_server_dead, mlflow_server_hung,
    all_servers_hung,
)  # fmt: skip
