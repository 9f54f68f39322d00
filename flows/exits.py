"""How a command ends: 0 done, 1 a run or the machine failed, 2 the command line or configuration is wrong, 130 interrupted."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from types import FrameType
from typing import NoReturn, ParamSpec

from flows.streams import spoken_to_whoever_listens
from pipelines.errors import ConfigError, PlatformError
from pipelines.machine import missing_resource
from pipelines.passwords import without_passwords
from pipelines.terminals import any_terminal

P = ParamSpec("P")
_ENDS_S = 40.0  # more than the deadlines of servers and trackers take together
# By the file system, what is asked of a path: it may not be written, or is no folder.
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ELOOP})


def exit_code(main: Callable[P, int]) -> Callable[P, int]:
    """What is the user's or the machine's fault is one line on standard error; a bug keeps its traceback."""

    @wraps(main)
    def command(*arguments: P.args, **named: P.kwargs) -> int:
        any_terminal()
        with spoken_to_whoever_listens():
            try:
                return main(*arguments, **named)
            except ConfigError as error:
                print(without_passwords(f"error: {error}"), file=sys.stderr)
                return 2
            except KeyboardInterrupt:
                print("interrupted: give the same command again to continue", file=sys.stderr)
                return 130
            except Exception as error:
                if (line := line_of(error)) is None:
                    raise
                print(without_passwords(f"error: {line}"), file=sys.stderr)
                return 1

    return command


def end_as_interrupted() -> None:
    """From now on SIGTERM and a closed terminal end this process as Ctrl-C does: what was started is stopped, within ``_ENDS_S``, or at
    once when it is told again. A command that was told to outlive its terminal (``nohup``) does."""
    _at_signals(_interrupt)


def _at_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    for which in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(which) is not signal.SIG_IGN:
            signal.signal(which, handler)


def _interrupt(which: int, frame: FrameType | None) -> None:
    """An interrupt may be raised where nobody hears of it (a destructor, a callback of C), or wait for a library's thread. A second
    one would interrupt the stopping itself, and leave behind what was not stopped yet."""
    insist = threading.Timer(_ENDS_S, _end_all, [f"not ended after {_ENDS_S:.0f} s"])
    insist.daemon = True
    insist.start()
    _at_signals(lambda which, frame: _end_all("told again"))
    raise KeyboardInterrupt


def _end_all(why: str) -> None:
    """This process, and what it started."""
    import psutil

    print(f"interrupted: {why}, so it is killed with what it started", file=sys.stderr)
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    leave(130)


def shows_help(arguments: Sequence[str], text: str | None) -> bool:
    """Whether that is what the command line asks for; the text is then printed."""
    if not {"-h", "--help"} & set(arguments):
        return False
    print(text)
    return True


def line_of(error: Exception) -> str | None:
    """What to tell of it; None: a bug."""
    if isinstance(error, PlatformError):
        return str(error)
    if (missing := missing_resource(error)) is not None:
        return missing
    if isinstance(error, OSError) and error.errno in _REFUSED:
        return f"{error}: change it, or choose another folder (execution.runs, execution.artifacts, the working folder)"
    return None


def leave(code: int) -> NoReturn:
    """End the process now. Everything is on disk; what would still wait are Prefect's threads, for ever when its
    server is dead."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, AttributeError):  # nobody reads it, or it was closed before
            stream.flush()
    os._exit(code)
