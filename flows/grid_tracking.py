"""MLflow: a launch of many is a run whose children are its cells, and theirs the seeds; and the page that compares them.

A log, as everywhere: what a run is, and whether it is done, is read from its folder.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.comparison import share_comparison
from flows.launch.jobs import Job, by_cell, cell_names, digest, title
from flows.mlflow_database import Database
from flows.tracking import LAUNCH_TAGS, RUN_ID, experiment_tags, remembered, set_tags
from flows.windows.final_tables import grid_table
from pipelines.files import write_json
from pipelines.run_folder import is_finished

PARENT = "mlflow.parentRunId"


class GridTracker:
    """``jobs``: all of the launch, those that were done before too. The same launch again goes on in the same MLflow runs; a
    run that several launches have stands below the last."""

    def __init__(self, uri: str, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self._database = Database(uri, "this launch")
        self._cells: dict[Path, str] = {}
        self._grid = ""
        self._began = time.monotonic()

    def begin(self) -> None:
        self._database.guarded(self._begin)

    def end(self, status: str) -> None:
        """``status``: "FINISHED", "FAILED" or "KILLED"."""
        self._database.guarded(lambda: self._end(status))

    # ---------------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        memory = self._jobs[0].config.execution.runs / ".grids" / f"{digest(self._jobs)}.json"
        known = remembered(memory)
        self._grid = self._open(known.get("grid", ""), title(self._jobs), {"level": "grid"} | _common(self._jobs))
        called = cell_names(self._jobs)
        for folder, jobs in by_cell(self._jobs).items():
            tags = {"level": "cell", "grid": self._grid, PARENT: self._grid} | cell_tags(jobs[0], called[folder])
            self._cells[folder] = self._open(known.get(folder.name, ""), called[folder], tags | _common(jobs))
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_json(memory, {"grid": self._grid} | {folder.name: run for folder, run in self._cells.items()})
        for job in self._jobs:
            self._adopt(job, called[job.folder.parent])
        view = share_comparison(self._database.client, self._database.experiment(), self._grid)
        set_tags(self._client, self._grid, {"launched": _now(), "comparison": view})

    @property
    def _client(self) -> Any:
        return self._database.client

    def _open(self, known: str, name: str, tags: dict[str, str]) -> str:
        """The MLflow run that is ``known``, running again, or a new one."""
        if known and self._database.has_run(known):
            self._client.set_terminated(known, "RUNNING")
            set_tags(self._client, known, tags)
            return known
        run = self._client.create_run(self._database.experiment(), tags=tags, run_name=name)
        return str(run.info.run_id)

    def _adopt(self, job: Job, cell: str) -> None:
        """A run that has an MLflow run is told at once, for it may be done; another finds its tags when it starts."""
        tags = {"grid": self._grid, PARENT: self._cells[job.folder.parent]} | cell_tags(job, cell)
        write_launch_tags(job, tags)
        known = job.folder / RUN_ID
        if known.exists() and self._database.has_run(run_id := known.read_text().strip()):
            set_tags(self._client, run_id, tags)

    def _end(self, status: str) -> None:
        done = {job.folder for job in self._jobs if is_finished(job.config)}
        self._client.log_metric(self._grid, "grid/runs", len(self._jobs))
        self._client.log_metric(self._grid, "grid/done", len(done))
        self._client.log_metric(self._grid, "grid/minutes", (time.monotonic() - self._began) / 60)
        self._client.log_text(self._grid, grid_table(self._jobs), "table.md")
        for folder, jobs in by_cell(self._jobs).items():
            whole = all(job.folder in done for job in jobs)
            self._client.set_terminated(self._cells[folder], "FINISHED" if whole else status)
        self._client.set_terminated(self._grid, status)


def cell_tags(job: Job, cell: str) -> dict[str, str]:
    """``cell``: what its seeds, and no other run of the launch, are called by."""
    tables = sorted({name.partition("/")[0] for name in job.cells})
    return {"cell": cell} | ({"table": ",".join(tables)} if tables else {})


def write_launch_tags(job: Job, tags: dict[str, str]) -> None:
    job.folder.mkdir(parents=True, exist_ok=True)
    write_json(job.folder / LAUNCH_TAGS, tags)


def _common(jobs: Sequence[Job]) -> dict[str, str]:
    """The tags in which all of them agree."""
    each = [experiment_tags(job.config.experiment.values()) for job in jobs]
    return {key: value for key, value in each[0].items() if all(tags.get(key) == value for tags in each)}


def _now() -> str:
    """Sorts as text."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
