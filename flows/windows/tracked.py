"""A run and a launch of several runs as the trackers are shown them: their names, and the tags that comparisons go by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.launch.context import current_launch
from flows.launch.jobs import Job, by_cell, cell_names, digest, title
from flows.windows.final_tables import grid_table
from pipelines.config import RunConfig
from pipelines.files import read_yaml, remembered, write_json
from pipelines.run_folder import is_finished
from pipelines.run_info import RunInfo
from pipelines.tracking.guard import launch_trackers
from pipelines.tracking.protocol import Status, TrackedCell, TrackedLaunch, TrackedRun, TrackerSettings

_TAGS = "launch_tags.json"  # in the run's folder: what its last launch calls it


def tracked_run(folder: Path, info: RunInfo) -> TrackedRun:
    """The run by its record."""
    tags = {
        "git_commit": info.commit,
        "config_fingerprint": info.fingerprint,
        "panel_sha256": info.panel_sha256,
        "command": info.command,
    }
    return _tracked_run(folder, tags, info.config)


def begun_run(folder: Path) -> TrackedRun:
    """A run that has no record yet, by its parameters. Raises OSError, ValueError."""
    config = read_yaml(folder / "params.yaml")
    try:
        return _tracked_run(folder, {}, config)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / 'params.yaml'} holds no run's parameters: {error!r}") from None


def _tracked_run(folder: Path, more: Mapping[str, str], config: Mapping[str, Any]) -> TrackedRun:
    """In the name, what differs in a comparison comes first: pages cut long names."""
    seed, experiment = str(config["seed"]), _experiment_tags(config)
    what, where = ("algorithm", "empg"), ("benchmark", "model", "scale")
    name = f"{' '.join(experiment[key] for key in what)} seed{seed} · {' '.join(experiment[key] for key in where)}"
    cell = "-".join(experiment[key] for key in ("scale", "benchmark", "model", *what))  # ``ExperimentConfig.cell``
    tags = {**experiment, **more, "cell": cell, "seed": seed, **remembered(folder / _TAGS)}
    return TrackedRun(folder, name, tags["cell"], tags, config)


def tracked_launch(jobs: Sequence[Job]) -> TrackedLaunch:
    """``jobs``: all of the launch, those included that were finished before."""
    names = cell_names(jobs)
    cells = [
        TrackedCell(folder.name, names[folder], cell_tags(seeds[0], names[folder]) | _common(seeds), [j.folder for j in seeds])
        for folder, seeds in by_cell(jobs).items()
    ]  # fmt: skip
    return TrackedLaunch(digest(jobs), title(jobs), _common(jobs), cells, launches_memory(jobs[0].config))


def launches_memory(config: RunConfig) -> Path:
    """Where trackers remember the launches of several runs in a folder."""
    return config.execution.runs / ".grids"


def open_trackers(config: RunConfig) -> list[TrackerSettings]:
    """Those that the configuration chooses, without those that its launch could not open."""
    launch = current_launch()
    closed = launch.closed_trackers if launch else ()
    return [settings for settings in config.execution.trackers.chosen() if settings.key not in closed]


def owe_pages(config: RunConfig, folder: Path) -> None:
    """Let the trackers that the launch could not open remember the run in that folder."""
    opened = open_trackers(config)
    for settings in config.execution.trackers.chosen():
        if settings not in opened:
            settings.owe(folder)


class TrackedJobs:
    """The trackers of a launch of several runs, from its jobs."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self._trackers = launch_trackers(open_trackers(jobs[0].config), tracked_launch(jobs))

    def start(self) -> None:
        names, launch = cell_names(self._jobs), {"launch": f"{title(self._jobs)} {digest(self._jobs)[:6]}"}
        for job in self._jobs:
            write_launch_tags(job, cell_tags(job, names[job.folder.parent]) | launch)
        self._trackers.each(lambda tracker: tracker.start())

    def end(self, status: Status) -> None:
        finished = frozenset(job.folder for job in self._jobs if is_finished(job.config))
        table = grid_table(self._jobs)
        self._trackers.each(lambda tracker: tracker.end(status, finished, table))


def cell_tags(job: Job, cell: str) -> dict[str, str]:
    """``cell``: the name that its seeds, and no other run of the launch, have."""
    tables = sorted({name.partition("/")[0] for name in job.cells})
    return {"cell": cell} | ({"table": ",".join(tables)} if tables else {})


def write_launch_tags(job: Job, tags: dict[str, str]) -> None:
    """Keep them where the run's own process finds them when it starts."""
    job.folder.mkdir(parents=True, exist_ok=True)
    write_json(job.folder / _TAGS, tags)


def _experiment_tags(config: Mapping[str, Any]) -> dict[str, str]:
    """``config``: ``ExperimentConfig.values()``."""
    return {
        "benchmark": config["benchmark"]["name"],
        "model": config["model"]["name"],
        "algorithm": config["algorithm"]["name"],
        "empg": config["empg"]["arm"],
        "scale": config["scale"],
    }


def _common(jobs: Sequence[Job]) -> dict[str, str]:
    """The tags in which all of them agree."""
    each = [_experiment_tags(job.config.experiment.values()) for job in jobs]
    return {key: value for key, value in each[0].items() if all(tags.get(key) == value for tags in each)}
