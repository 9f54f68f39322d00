"""What MLflow has not been told of a run: a file in the run's folder, from the run's start until its page is whole.

A run that is finished while the file is there has a page that lacks something, or none; ``flows/windows/owed_pages.py``
completes it, from the file and from the run's results.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from pipelines.files import atomic_write_text, sealed, unsealed, warn_damaged

FILE = "mlflow_undelivered.json"
Point = tuple[str, float, int, int]  # name, value, iteration, milliseconds


def owe(folder: Path, uri: str, points: Sequence[Point] = ()) -> None:
    """The address may hold a password, so that its digest is kept. A full disk costs the later completion."""
    kept = [[name, repr(value), iteration, at] for name, value, iteration, at in points]  # JSON has no NaN
    with suppress(OSError):
        atomic_write_text(folder / FILE, sealed({"of": _digest(uri), "points": kept}).decode())


def owed(folder: Path, uri: str) -> list[Point] | None:
    """The points that wait; None: nothing is owed, or it is to another database."""
    path = folder / FILE
    try:
        kept = unsealed(path.read_bytes())
        points = [(str(name), float(value), int(iteration), int(at)) for name, value, iteration, at in kept["points"]]
        return points if kept["of"] == _digest(uri) else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        warn_damaged(path, "the run's page is completed from its results")
        return []


def settle(folder: Path) -> None:
    (folder / FILE).unlink(missing_ok=True)


def _digest(uri: str) -> str:
    return sha256(uri.encode()).hexdigest()[:16]
