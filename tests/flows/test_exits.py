"""How a command ends: what the user or the machine did wrong is one line, and output that nobody reads stops nothing."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from flows.exits import exit_code
from flows.streams import UntilClosed
from pipelines import machine
from pipelines.errors import ConfigError, DataError, MachineFailure
from pipelines.machine import check_limits, missing_resource

CHILD = """
import sys
from flows.exits import exit_code, leave

@exit_code
def main():
    for i in range(20_000):
        print("line", i)
    print("worked on", file=sys.stderr)
    return 3

leave(main())
"""


def ended(error: BaseException) -> int:
    def fails() -> int:
        raise error

    return exit_code(fails)()


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError("seed=x: no number"), 2, "seed=x"),
        (DataError("game 7 is damaged"), 1, "game 7"),
        (KeyboardInterrupt(), 130, "again"),
        (OSError(errno.ENOSPC, "No space left on device", "runs"), 1, "free"),
        (OSError(errno.EFBIG, "File too large", "runs"), 1, "ulimit -f"),
        (OSError(errno.EROFS, "Read-only file system", "runs"), 1, "another folder"),
        (FileExistsError(errno.EEXIST, "File exists", "runs"), 1, "another folder"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 1, "memory"),
        (MemoryError(), 1, "memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 8 bytes\nmore"), 1, "memory"),
        (ImportError("libtorch.so: failed to map segment from shared object"), 1, "memory"),
    ],
)  # fmt: skip
def test_it_ends_in_one_line_with_the_remedy(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(error) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("uri=postgresql://u:geheim@h/db: no"),
        FileExistsError(errno.EEXIST, "File exists", "postgresql://u:geheim@h"),
    ],
)
def test_no_password_of_an_address_is_printed(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    ended(error)
    (line,) = capsys.readouterr().err.splitlines()
    assert "postgresql://u:***@h" in line


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError(errno.EBADF, "Bad file descriptor")])
def test_a_bug_keeps_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error)):
        ended(error)


def test_what_was_missing_is_found_below_what_a_library_made_of_it() -> None:
    error = RuntimeError("the kernel failed")
    error.__cause__ = ValueError("no tensor")
    assert missing_resource(error) is None
    error.__cause__.__context__ = MemoryError()
    assert "memory" in str(missing_resource(error))


def test_a_limit_below_what_every_run_takes_is_said_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.resource, "getrlimit", lambda _: (1_500_000 << 10, machine.resource.RLIM_INFINITY))
    with pytest.raises(MachineFailure, match=r"1\.4 GiB.*ulimit -v"):
        check_limits()
    assert "ulimit -v" in str(missing_resource(MemoryError()))
    onednn = RuntimeError("could not create a primitive")
    assert "ulimit -v" in str(missing_resource(onednn))
    monkeypatch.setattr(machine.resource, "getrlimit", lambda _: (machine.resource.RLIM_INFINITY,) * 2)
    check_limits()
    assert "ulimit -v" not in str(missing_resource(MemoryError()))
    assert missing_resource(onednn) is None


TOLD = """
import signal, subprocess, sys, time
from flows import exits

@exits.exit_code
def main():
    exits._ENDS_S = float(sys.argv[2])
    exits.end_as_interrupted()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(child.pid, signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, flush=True)
    try:
        signal.raise_signal(int(sys.argv[1]))
        child.kill()
    except KeyboardInterrupt:
        if sys.argv[3:]:
            signal.raise_signal(int(sys.argv[3]))
        if exits._ENDS_S > 1:
            child.kill()
            child.wait()
            raise
        time.sleep(600)  # as a library that does not hear of it
    return 0

exits.leave(main())
"""


@pytest.mark.parametrize(
    ("which", "patience_s", "again", "says"),
    [
        (signal.SIGINT, 60, [], "give the same command"), (signal.SIGTERM, 60, [], "give the same"),
        (signal.SIGHUP, 0.2, [], "not ended after 0 s, so it is killed"),
        (signal.SIGINT, 60, [signal.SIGINT], "told again, so it is killed"),
        (signal.SIGHUP, 60, [signal.SIGTERM], "told again, so it is killed"),
    ],
)  # fmt: skip
def test_a_command_that_is_told_to_end_ends_with_what_it_started(
    which: int, patience_s: float, again: list[int], says: str
) -> None:
    """Also where the interrupt is lost, or comes twice, as at a logout."""
    command = [sys.executable, "-c", TOLD, str(int(which)), str(patience_s), *(str(int(other)) for other in again)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 130
    (line,) = ended.stderr.splitlines()
    assert line.startswith("interrupted: ")
    assert says in line
    child = int(ended.stdout.split()[0])
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)  # until the test's own deadline


def test_an_interrupt_while_a_command_is_read_is_one_line() -> None:
    command = [sys.executable, "-c", "import flows; raise KeyboardInterrupt"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "interrupted\n")


def test_a_bug_keeps_its_traceback_but_no_password() -> None:
    command = [sys.executable, "-c", "import flows; raise ValueError('postgresql://me:secret@host/db')"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert "Traceback" in said
    assert "postgresql://me:***@host/db" in said
    assert "secret" not in said


def test_a_command_that_shall_outlive_its_terminal_does() -> None:
    def nohup() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    command = [sys.executable, "-c", TOLD, str(int(signal.SIGHUP)), "60"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=nohup)
    assert (ended.returncode, ended.stdout.split()[1], ended.stderr) == (0, "True", "")


@pytest.mark.parametrize("close", ["pipe", "before"])
def test_a_closed_output_stops_no_work(close: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    prepare: Callable[[], None] | None = (lambda: os.close(1)) if close == "before" else None
    ran = subprocess.run(
        [sys.executable, "-c", CHILD], stdout=writer, stderr=subprocess.PIPE, text=True, preexec_fn=prepare, check=False
    )
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (3, "worked on\n")


def test_a_stream_that_is_read_is_as_ever(tmp_path: Path) -> None:
    with (tmp_path / "said").open("w") as file:
        print("é", file=UntilClosed(file), flush=True)
        assert UntilClosed(file).name == file.name
    assert (tmp_path / "said").read_text() == "é\n"
