"""What MLflow has not been told of a run: a file in the run's folder, from the run's start until its page is whole, with an entry for
each database that was told of the run.

A run that is finished while the file is there has a page that lacks something, or none; ``flows/windows/owed_pages.py``
completes it, from the file and from the run's results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from pipelines.files import atomic_write_text, sealed, unsealed, warn_damaged

FILE = "mlflow_undelivered.json"
Point = tuple[str, float, int, int]  # name, value, iteration, milliseconds


def owe(folder: Path, uri: str, points: Sequence[Point] = ()) -> None:
    """To this database, beside what is owed to others. A full disk costs the later completion."""
    _keep(folder, (_waiting(folder) or {}) | {digest(uri): list(points)})


def owed(folder: Path, uri: str) -> list[Point] | None:
    """The points that wait; None: nothing is owed to this database."""
    waiting = _waiting(folder)
    return [] if waiting is None else waiting.get(digest(uri))


def settle(folder: Path, uri: str) -> None:
    left = {of: points for of, points in (_waiting(folder) or {}).items() if of != digest(uri)}
    if left:
        _keep(folder, left)
    else:
        (folder / FILE).unlink(missing_ok=True)


def _waiting(folder: Path) -> dict[str, list[Point]] | None:
    """By the databases' digests; None: the file is damaged, and whatever database is asked for is owed something."""
    path = folder / FILE
    try:
        kept = unsealed(path.read_bytes())
        return {
            str(of): [(str(name), float(value), int(iteration), int(at)) for name, value, iteration, at in points]
            for of, points in kept.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError):
        warn_damaged(path, "the run's page is completed from its results")
        return None


def _keep(folder: Path, waiting: Mapping[str, Sequence[Point]]) -> None:
    kept = {
        of: [[name, repr(value), iteration, at] for name, value, iteration, at in points]  # JSON has no NaN
        for of, points in waiting.items()
    }
    with suppress(OSError):
        atomic_write_text(folder / FILE, sealed(kept).decode())


def digest(uri: str) -> str:
    """An address may hold a password."""
    return sha256(uri.encode()).hexdigest()[:16]
