"""The runs of a launch: each once, whatever names it was given by, and the order to start them in."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from flows.cells import cell_of
from flows.costs import Shared, run_seconds, shared
from pipelines.config import RunConfig
from pipelines.run_folder import run_folder


@dataclass(frozen=True)
class Job:
    """One run. ``overrides``: what it is composed of, without the launch's own (``hydra…``); ``cells``: the cells by whose
    names it was asked for."""

    overrides: tuple[str, ...]
    config: RunConfig
    cells: tuple[str, ...] = ()

    @cached_property
    def folder(self) -> Path:
        return run_folder(self.config)

    @cached_property
    def seconds(self) -> float:
        return run_seconds(self.config.experiment)

    @cached_property
    def shared(self) -> Shared:
        return shared(self.config.experiment)


def make_jobs(combinations: Sequence[Sequence[str]], configs: Sequence[RunConfig]) -> list[Job]:
    """The combinations of a launch, which compose to ``configs``, as jobs; those that are the same run become one."""
    jobs: dict[Path, Job] = {}
    for overrides, config in zip(combinations, configs, strict=True):
        cell = cell_of(overrides)
        job = Job(tuple(o for o in overrides if not is_launchers(o)), config, (cell,) if cell else ())
        known = jobs.get(job.folder)
        jobs[job.folder] = replace(known, cells=(*known.cells, *job.cells)) if known else job
    return list(jobs.values())


def is_launchers(override: str) -> bool:
    """Whether it says how to launch, not what."""
    return override.lstrip("+~").startswith(("hydra.", "hydra/"))


def in_order(jobs: Iterable[Job]) -> list[Job]:
    """Long ones first, so that the last cores are not left with one; but before all others a run of each warm start, of
    different data in turn, so that no core waits for what another makes."""
    longest = sorted(jobs, key=lambda job: -(job.seconds + job.shared.seconds))
    turns: Counter[str] = Counter()
    rank: dict[str, int] = {}
    ranked = []
    for job in longest:
        first = job.shared.key not in rank
        if first:
            rank[job.shared.key] = turns[job.shared.data]
            turns[job.shared.data] += 1
        ranked.append((rank[job.shared.key] if first else math.inf, job))
    return [job for _, job in sorted(ranked, key=lambda pair: pair[0])]


def names(jobs: Sequence[Job]) -> list[str]:
    """What tells the runs of a launch apart, short enough to leave room for a bar: the cell, or what differs; else the
    folder's name."""
    experiments = [job.config.experiment for job in jobs]
    parts = [
        (e.benchmark.name, e.model.name, e.algorithm.name, e.empg.arm, f"seed{e.seed}")
        for e in experiments
    ]  # fmt: skip
    differing = [i for i in range(5) if len({part[i] for part in parts}) > 1]
    by_cell = [f"{job.cells[0]} seed{e.seed}" if job.cells else "" for job, e in zip(jobs, experiments, strict=True)]
    for said in (by_cell, [" ".join(part[i] for i in differing) for part in parts]):
        if all(said) and len(set(said)) == len(jobs):
            return said
    return [f"{job.folder.parent.name}/{job.folder.name}" for job in jobs]
