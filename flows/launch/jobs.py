"""The runs of a launch: each once, whatever names it was given by, and the order to start them in."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from flows.configure.cells import cell_of
from flows.configure.spelled import spelled
from pipelines.config import ExperimentConfig, RunConfig, StandIn, StandInWarmStart
from pipelines.config.views import DataView, StandInView, WarmStartView
from pipelines.registry import benchmark_spec
from pipelines.run_folder import run_folder

# Seconds of one core while all are at work, by the smallest stand-in (hidden size 64, 3 layers).
_TOKEN_S = 5.7e-5  # of a warm start
_RUN_S = 3.0  # of a run that finds everything
_GROWTH = 0.76  # what a stand-in costs grows with hidden size × layers to this power (measured: ×1.5 1.36)


@dataclass(frozen=True, slots=True)
class Shared:
    """What a run's launch makes once for all runs like it. ``key``: the same for those that share it, "" for none; ``data``:
    the same for those whose tasks are the same."""

    key: str
    data: str
    seconds: float


def run_seconds(experiment: ExperimentConfig) -> float:
    """Of a run's iterations and evaluations; by the plan where its policy has one."""
    planned = experiment.policy.plan(experiment)
    if planned is not None:
        return _RUN_S + planned.seconds - planned.warm_start_seconds
    training, evaluation = experiment.training, experiment.evaluation
    played = training.iterations * training.tasks * training.group_size
    evaluations = -(-training.iterations // evaluation.every) + 1
    steps = (played + evaluations * evaluation.games * evaluation.samples) * experiment.benchmark.max_steps
    return _RUN_S + steps * step_seconds(experiment)


def step_seconds(experiment: ExperimentConfig) -> float:
    """One step of an episode of a stand-in's, its learning included."""
    return benchmark_spec(experiment.benchmark.name).step_seconds * _weight(experiment.model.stand_in)


def shared(experiment: ExperimentConfig) -> Shared:
    """The warm start: two runs that agree in these values wait for the same one."""
    data, view = json.dumps(DataView.of(experiment).values()), WarmStartView.of(experiment)
    if view is None:
        return Shared("", data, 0.0)
    pretrained = experiment.model.weights == "pretrained"
    model = experiment.model.pretrained if pretrained else StandInView.of(experiment).values()
    own = json.dumps({"model": model, "warm_start": view.values()})
    if isinstance(view.settings, StandInWarmStart):
        return Shared(own, data, view.settings.tokens * _TOKEN_S * _weight(experiment.model.stand_in))
    planned = experiment.policy.plan(experiment)
    return Shared(own, data, planned.warm_start_seconds if planned is not None else 0.0)


def _weight(model: StandIn) -> float:
    return float((model.hidden_size * model.layers / (64 * 3)) ** _GROWTH)


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


def with_commands(jobs: Sequence[Job]) -> list[Job]:
    """The same runs, which say what makes them again."""
    told = spelled([(job.overrides, job.config) for job in jobs])
    return [replace(job, config=config) for job, config in zip(jobs, told, strict=True)]


def is_launchers(override: str) -> bool:
    """Whether the override sets how to launch, not what."""
    return override.lstrip("+~").startswith(("hydra.", "hydra/"))


def core_seconds(jobs: Sequence[Job]) -> float:
    """Of one core that does all of it: each run, and every warm start once."""
    warm_starts = {job.shared.key: job.shared.seconds for job in jobs}
    return sum(job.seconds for job in jobs) + sum(warm_starts.values())


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


def in_blocks(jobs: Iterable[Job]) -> list[Job]:
    """One warm start's runs after the other's, so that a launch which is interrupted leaves whole comparisons; a run that makes the
    next warm start stands before the rest of this one's, so that no core waits for it. Within a warm start long ones first."""
    blocks: dict[str, list[Job]] = {}
    for job in jobs:
        blocks.setdefault(job.shared.key, []).append(job)
    waiting = [sorted(block, key=lambda job: -job.seconds) for block in blocks.values()]
    ordered = [block[0] for block in waiting[:1]]
    for number, block in enumerate(waiting, start=1):
        ordered += [*(following[0] for following in waiting[number : number + 1]), *block[1:]]
    return ordered


def names(jobs: Sequence[Job]) -> list[str]:
    """The names of a launch's runs, which tell them apart, short enough to leave room for a bar: the cell and the seed."""
    cells = cell_names(jobs)
    if len(cells) == 1 and len(jobs) > 1 and not jobs[0].cells:
        return [f"seed{job.config.experiment.seed}" for job in jobs]
    return [f"{cells[job.folder.parent]} seed{job.config.experiment.seed}" for job in jobs]


def title(jobs: Sequence[Job]) -> str:
    """The launch's title: its tables, or its benchmarks, and its scale."""
    tables = {cell.partition("/")[0] for job in jobs for cell in job.cells}
    topics = tables or {job.config.experiment.benchmark.name for job in jobs}
    scales = {job.config.experiment.scale for job in jobs}
    return f"{', '.join(sorted(topics))} · {', '.join(sorted(scales))} · {len(jobs)} runs"


def digest(jobs: Sequence[Job]) -> str:
    """The same for the same runs."""
    return sha256("\n".join(sorted(str(job.folder) for job in jobs)).encode()).hexdigest()[:20]


def by_cell(jobs: Sequence[Job]) -> dict[Path, list[Job]]:
    """The seeds of each cell, by the folder that they share."""
    cells: dict[Path, list[Job]] = {}
    for job in jobs:
        cells.setdefault(job.folder.parent, []).append(job)
    return cells


def cell_names(jobs: Sequence[Job]) -> dict[Path, str]:
    """What tells the cells of a launch apart, by the folder of their seeds: the cell, or what differs; else the folder's
    name."""
    cells = by_cell(jobs)
    first = [seeds[0] for seeds in cells.values()]
    parts = [
        (e.benchmark.name, e.model.name, e.algorithm.name, e.empg.arm) for e in (j.config.experiment for j in first)
    ]
    differing = [i for i in range(4) if len({part[i] for part in parts}) > 1]
    by_name = [job.cells[0] if job.cells else "" for job in first]
    for labels in (by_name, [" ".join(part[i] for i in differing) for part in parts]):
        if all(labels) and len(set(labels)) == len(first):
            return dict(zip(cells, labels, strict=True))
    return {folder: folder.name for folder in cells}
