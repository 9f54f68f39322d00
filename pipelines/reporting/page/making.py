"""How each number was made: the runs of its cell, the panel that they played, and of each its checkpoint and its command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.reporting.comparable import without_seeds
from pipelines.reporting.names import benchmark_title
from pipelines.reporting.results import RunResult
from pipelines.reporting.specification import Row


@dataclass(frozen=True)
class Made:
    """A run. ``place``: its folder below the study's; ``checkpoint``: its last policy in its artifact store;
    ``command``: what makes it again; each "" where the run did not record it."""

    folder: Path
    place: str
    seed: int
    checkpoint: str
    command: str


@dataclass(frozen=True)
class Making:
    """A cell: the seeds of one configuration. ``key``: what links lead to; ``panel``: the SHA-256 of the tasks that were played;
    ``tasks``: how many they are."""

    key: str
    name: str
    panel: str
    tasks: int
    runs: tuple[Made, ...]


def makings_of(runs: Sequence[RunResult], root: Path) -> tuple[Making, ...]:
    """``root``: the study's folder."""
    return tuple(_making(f"made-{n}", cell, root) for n, cell in enumerate(cells_of(runs), 1))


def cells_of(runs: Sequence[RunResult]) -> list[list[RunResult]]:
    """By everything but the seeds, so that a study of strengths has a cell for each, and by the panel that was played."""
    found: dict[tuple[str, str], list[RunResult]] = {}
    for run in runs:
        found.setdefault((str(without_seeds(run.config)), run.info.panel_sha256), []).append(run)
    return list(found.values())


def _making(key: str, cell: Sequence[RunResult], root: Path) -> Making:
    info = cell[0].info
    made = (
        Made(
            run.folder,
            run.folder.relative_to(root).as_posix().removesuffix("/results"),
            run.seed,
            run.info.checkpoint,
            run.info.command,
        )
        for run in sorted(cell, key=lambda run: run.seed)
    )
    name = f"{benchmark_title(info.benchmark)}: {Row.of(info.config)}"
    return Making(key, name, info.panel_sha256, info.panel_size, tuple(made))
