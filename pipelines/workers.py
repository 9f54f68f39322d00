"""Worker processes that start clean: a fresh interpreter with nothing of the parent's but a pipe.

``multiprocessing``'s own ways do not fit: fork copies the locks of the parent's threads (Prefect, MLflow), and spawn and
forkserver fail inside joblib's processes. A worker ends when its pipe closes, so it never outlives its parent.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from typing import Any, TypeVar

T = TypeVar("T")


def usable_cores() -> int:
    """Cores that this process may use: affinity, container limits and LOKY_MAX_CPU_COUNT count."""
    from joblib import cpu_count

    return int(cpu_count())


class WorkerDied(Exception):
    """The process is gone, or does not answer in time."""


class Worker:
    """Runs ``target(pipe, *arguments)`` (a module's function) in a new interpreter; talk to it through ``pipe``.

    Every worker hashes text alike, so that a library that goes through a set of names goes in the same order in each.
    """

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        self._call = target, arguments
        self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        path = os.pathsep.join(p for p in sys.path if p)
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        command = [sys.executable, "-m", "pipelines.workers", str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL, start_new_session=True
            )
        self.pipe: Connection = Connection(ours.detach())
        self.send(self._call)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: Any) -> None:
        """A dead worker is noticed when its answer is due."""
        try:
            self.pipe.send(message)
        except OSError:
            pass

    def receive(self, timeout_s: float | None = None) -> Any:
        """Raises WorkerDied when the process is gone or stays silent for ``timeout_s``."""
        try:
            if not self.pipe.poll(timeout_s):
                raise WorkerDied
            return self.pipe.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            raise WorkerDied from None

    def restart(self) -> None:
        """A new process for the same target."""
        self.stop()
        self._start()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self.pipe.close()


def ordered_map(
    function: Callable[..., T], items: Iterable[tuple[Any, ...]], workers: int, ahead: int = 8
) -> Iterator[T]:
    """``function(*item)`` for every item (also of an endless iterable), in order, at most ``ahead`` per worker under way.

    Raises:
        PlatformError, OSError, MemoryError: the function raised it.
        RuntimeError: the function raised something else (its traceback is in the message), or a worker died.
    """
    pool = [Worker(_answer_calls, function) for _ in range(workers)]
    source = iter(items)
    owners: deque[Worker] = deque()  # of the calls under way, oldest first; a worker answers its calls in order
    try:
        turn = 0
        while True:
            while len(owners) < workers * ahead and (item := next(source, None)) is not None:
                worker = pool[turn % workers]
                turn += 1
                worker.send(item)
                owners.append(worker)
            if not owners:
                return
            try:
                failed, result = owners.popleft().receive()
            except WorkerDied:
                raise RuntimeError(f"a worker process died while running {function.__name__}") from None
            if failed is not None:
                raise failed if isinstance(failed, Exception) else RuntimeError(failed)
            yield result
    finally:
        for worker in pool:
            worker.stop()


def _answer_calls(pipe: Connection, function: Callable[..., Any]) -> None:
    from pipelines.errors import PlatformError

    while True:
        item = pipe.recv()
        try:
            answer: tuple[Any, Any] = (None, function(*item))
        except PlatformError as error:
            answer = (error, None)
        except Exception as error:
            where = traceback.format_exc()
            is_machines = isinstance(error, (OSError, MemoryError)) and type(error).__module__ == "builtins"
            if is_machines:
                error.add_note(where)  # it may be a bug all the same
            answer = (error if is_machines else where, None)
        pipe.send(answer)


def _main(descriptor: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    pipe: Connection = Connection(descriptor)
    try:
        target, arguments = pipe.recv()
        target(pipe, *arguments)
    except (EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone
        pass


if __name__ == "__main__":
    _main(int(sys.argv[1]))
