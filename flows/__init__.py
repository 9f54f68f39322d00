"""Thin wiring: Hydra composes, Prefect orchestrates, MLflow logs. Nothing of the algorithm is here."""

import sys
from importlib.util import find_spec
from types import TracebackType


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Ctrl-C while a command's code is still being read has no traceback (``flows.exits`` sees to the rest). A bug's may show an
    address, without its password."""
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
    else:
        from traceback import format_exception

        from pipelines.passwords import without_passwords

        print(without_passwords("".join(format_exception(kind, error, trace))), end="", file=sys.stderr)


sys.excepthook = _tell

if find_spec("hydra") is None:
    sys.exit(
        f"error: {sys.executable} has not what the platform needs: `make setup` makes .venv, `. .venv/bin/activate` takes its Python"
    )
