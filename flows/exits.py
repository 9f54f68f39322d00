"""How a command ends: 0 done, 1 a run or the machine failed, 2 the command line or configuration is wrong, 130 interrupted."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from typing import NoReturn, ParamSpec

from flows.streams import spoken_to_whoever_listens
from pipelines.errors import ConfigError, PlatformError
from pipelines.machine import missing_resource
from pipelines.terminals import any_terminal

P = ParamSpec("P")
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
                print(f"error: {error}", file=sys.stderr)
                return 2
            except KeyboardInterrupt:
                print("interrupted: give the same command again to continue", file=sys.stderr)
                return 130
            except Exception as error:
                if (line := line_of(error)) is None:
                    raise
                print(f"error: {line}", file=sys.stderr)
                return 1

    return command


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
