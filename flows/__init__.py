"""Thin wiring: Hydra composes, Prefect orchestrates, MLflow logs. Nothing of the algorithm is here."""

import sys
from types import TracebackType

_show = sys.excepthook


def _in_one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Ctrl-C while a command is still being read has no traceback either (``flows.exits`` sees to the rest)."""
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted: nothing was started", file=sys.stderr)
    else:
        _show(kind, error, trace)


sys.excepthook = _in_one_line
