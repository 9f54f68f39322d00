"""Everything that runs left, against the checksums that were written with it: artifacts, results, archives.

Caches are not looked at: whoever opens one checks it, and makes it anew where it is damaged.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.archive import archive_run, is_archived
from pipelines.artifacts import ArtifactStore
from pipelines.errors import DataError, RunLocked
from pipelines.files import damaged_file, replaced_folder
from pipelines.run_folder import run_lock


@dataclass(frozen=True)
class Checked:
    """A folder that was looked at. ``why``: what is wrong with it, "" where nothing is. ``remedy``: what makes it whole. ``mend``: does
    of that what can be done here, where anything can."""

    folder: Path
    why: str = ""
    remedy: str = ""
    mend: Callable[[], object] | None = None


def check_all(store: Path, runs: Path, results: Path, archive: Path) -> Iterator[Checked]:
    """Every folder, one after the other. ``results`` and ``archive`` hold those of studies."""
    yield from _artifacts(ArtifactStore(store))
    yield from (_run(folder) for folder in sorted(runs.glob("*/seed*/results")))
    yield from (_collected(folder, runs) for folder in sorted(results.glob("*/*/seed*")))
    yield from (_archived(folder, runs, store) for folder in sorted(archive.glob("*/*/seed*")))


def _artifacts(store: ArtifactStore) -> Iterator[Checked]:
    for folder in store.folders():
        why = store.damage(folder)
        if why:
            yield Checked(folder, why, "any launch that needs it makes it again", lambda at=folder: store.remove(at))  # type: ignore[misc]
        else:
            yield Checked(folder)


def _run(folder: Path) -> Checked:
    try:
        with run_lock(folder.parent):
            why = _why(folder)
    except RunLocked:  # it is being executed, which makes them
        why = ""
    return Checked(folder, why, "launch the run again, they are made from its artifacts", lambda: shutil.rmtree(folder))


def _collected(folder: Path, runs: Path) -> Checked:
    source = runs / folder.parent.name / folder.name / "results"
    if not (why := _why(folder)):
        return Checked(folder)
    if not source.is_dir() or _why(source):
        return Checked(folder, why, "launch its study again, or git checkout, dvc checkout")
    return Checked(folder, why, f"a copy of {source}", lambda: _copy(source, folder))


def _archived(folder: Path, runs: Path, store: Path) -> Checked:
    """By the records of the artifacts that it was copied from."""
    run = runs / folder.parent.name / folder.name
    try:
        if is_archived(run, store, folder):
            return Checked(folder)
    except DataError:
        return Checked(folder)  # what it was copied from is not here: DVC knows its checksums
    remedy = "copied again from the artifacts"
    return Checked(
        folder, "not the artifacts' files", f"{remedy}; then dvc add", lambda: archive_run(run, store, folder)
    )


def _why(folder: Path) -> str:
    try:
        name = damaged_file(folder)
    except OSError as error:
        return f"cannot be read ({error})"
    return "" if name is None else f"{name} is lost or not as it was written"


def _copy(source: Path, folder: Path) -> None:
    with replaced_folder(folder) as draft:
        shutil.copytree(source, draft, dirs_exist_ok=True)
