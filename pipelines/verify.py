"""Everything that runs left, against the checksums that were written with it: artifacts, caches, results, archives."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines import caches
from pipelines.archive import archive_run, is_made_of
from pipelines.artifacts import ArtifactStore
from pipelines.errors import RunLocked
from pipelines.files import CHECKSUMS, damaged_file, replaced_folder
from pipelines.registry import BenchmarkSpec, benchmark_specs
from pipelines.run_folder import run_lock


@dataclass(frozen=True)
class Checked:
    """What came of looking at a folder. ``state``: "not known" is one that nothing here can judge. ``why``: what is wrong with it, or
    why nobody knows. ``remedy``: what makes it whole. ``mend``: does that where it can be done here, and returns what kept it from
    it, "" where it is done."""

    folder: Path
    state: Literal["whole", "damaged", "not known"] = "whole"
    why: str = ""
    remedy: str = ""
    mend: Callable[[], str] | None = None


def check_all(store: Path, runs: Path, results: Path, archive: Path) -> Iterator[Checked]:
    """Every folder, one after the other. ``results`` and ``archive`` hold those of studies."""
    yield from _artifacts(ArtifactStore(store))
    for spec in benchmark_specs():
        yield from _cached(spec, store / "cache" / spec.name)
    yield from (_run(folder) for folder in sorted(runs.glob("*/seed*/results")))
    yield from (_collected(folder, runs) for folder in sorted({*results.glob("*/*/seed*"), *_scores(results)}))
    yield from (_archived(folder, runs, store) for folder in sorted(archive.glob("*/*/seed*")))


def _artifacts(store: ArtifactStore) -> Iterator[Checked]:
    remedy = (
        "removed, any launch that needs it makes it again (the last policy of a run: once its results are removed too)"
    )
    for folder in store.folders():
        if why := store.damage(folder):
            yield Checked(folder, "damaged", why, remedy, lambda at=folder: _remove(store, at))  # type: ignore[misc]
        else:
            yield Checked(folder)
    for path in store.strangers():
        yield Checked(path, "not known", "it is no artifact by its name", "it is left alone")


def _cached(spec: BenchmarkSpec, cache: Path) -> Iterator[Checked]:
    """Thousands of entries may lie there: those that are whole are together one."""
    whole = 0
    for entry, why in spec.cached_entries(cache):
        if why:
            remedy = "removed, whoever needs it makes it again"
            yield Checked(entry, "damaged", why, remedy, lambda at=entry: caches.remove(at))  # type: ignore[misc]
        whole += not why
    if whole:
        yield Checked(cache)


def _remove(store: ArtifactStore, folder: Path) -> str:
    if store.remove(folder) or not store.damage(folder):  # whole again: who made it was quicker
        return ""
    return "a run that goes on holds it"


def _run(folder: Path) -> Checked:
    """A launch makes damaged results again by itself, and nothing is gained by removing them before."""
    try:
        with run_lock(folder.parent):
            why = _why(folder)
    except RunLocked:
        return Checked(folder, "not known", "its run is being executed", "it makes them")
    if not why:
        return Checked(folder)
    return Checked(folder, "damaged", why, "launch the run again, they are made from its artifacts")


def _scores(results: Path) -> Iterator[Path]:
    """Of a study's benchmarks, where it sealed some, as that of credit does."""
    return (path.parent for path in results.glob(f"*/*/{CHECKSUMS}") if path.parent.name[0] != ".")


def _collected(folder: Path, runs: Path) -> Checked:
    if not (why := _why(folder)):
        return Checked(folder)
    source = runs / folder.parent.name / folder.name / "results"
    if not _is_copy(source, folder):
        return Checked(folder, "damaged", why, "launch its study again, or git checkout, dvc checkout")
    return Checked(folder, "damaged", why, f"a copy of {source}", lambda: _copy(source, folder))


def _archived(folder: Path, runs: Path, store: Path) -> Checked:
    if not (folder / CHECKSUMS).exists():
        return Checked(folder, "not known", f"it has no {CHECKSUMS}", "DVC knows its checksums (dvc status)")
    if not (why := _why(folder)):
        return Checked(folder)
    run = runs / folder.parent.name / folder.name
    if not is_made_of(folder, run, store):
        return Checked(folder, "damaged", why, "dvc checkout")
    return Checked(folder, "damaged", why, "copied again from the artifacts", lambda: _archive(run, store, folder))


def _why(folder: Path) -> str:
    try:
        name = damaged_file(folder)
    except OSError as error:
        return f"cannot be read ({error})"
    return "" if name is None else f"{name} is lost or not as it was written"


def _is_copy(source: Path, folder: Path) -> bool:
    """Whether ``source`` is whole and what ``folder`` was copied from: an equal name may be of other packages or another machine."""
    try:
        return (source / CHECKSUMS).read_bytes() == (folder / CHECKSUMS).read_bytes() and not _why(source)
    except OSError:
        return False


def _copy(source: Path, folder: Path) -> str:
    with replaced_folder(folder) as draft:
        shutil.copytree(source, draft, dirs_exist_ok=True)
    return _why(folder)


def _archive(run: Path, store: Path, folder: Path) -> str:
    archive_run(run, store, folder)
    return _why(folder)
