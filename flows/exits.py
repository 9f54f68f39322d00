"""How a command ends: 0 done, 1 a run or the machine failed, 2 the command line or configuration is wrong, 130 interrupted."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import NoReturn, ParamSpec

from pipelines.errors import ConfigError, PlatformError
from pipelines.files import DISK_FULL

P = ParamSpec("P")
# By the file system, what is asked of a path: it may not be written, or is no folder.
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ELOOP})


def exit_code(main: Callable[P, int]) -> Callable[P, int]:
    """What is the user's or the machine's fault is one line on standard error; a bug keeps its traceback."""

    @wraps(main)
    def command(*arguments: P.args, **named: P.kwargs) -> int:
        try:
            return main(*arguments, **named)
        except ConfigError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except PlatformError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except OSError as error:
            if error.errno in DISK_FULL:
                remedy = "free some space and launch again; what was finished stays"
            elif error.errno in _REFUSED:
                remedy = "change it, or choose another folder (execution.runs, execution.artifacts, the working folder)"
            else:
                raise
            print(f"error: {error}: {remedy}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted: give the same command again to continue", file=sys.stderr)
            return 130

    return command


def leave(code: int) -> NoReturn:
    """End the process now. Everything is on disk; what would still wait are Prefect's threads, for ever when its
    server is dead."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
