"""Thin wiring: Hydra composes, Prefect orchestrates, MLflow logs. Nothing of the algorithm is here."""

import sys
from importlib.util import find_spec
from types import TracebackType

_show = sys.excepthook


def _in_one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Ctrl-C while a command's code is still being read has no traceback either (``flows.exits`` sees to the rest)."""
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
    else:
        _show(kind, error, trace)


sys.excepthook = _in_one_line

if find_spec("hydra") is None:
    sys.exit(
        f"error: {sys.executable} has not what the platform needs: `make setup` makes .venv, `. .venv/bin/activate` takes its Python"
    )
