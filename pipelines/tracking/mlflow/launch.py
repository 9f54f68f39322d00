"""MLflow: a launch of many is a run whose children are its cells, and theirs the seeds; and the page that compares them.

A log, as everywhere: what a run is, and whether it is done, is read from its folder.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.files import atomic_write_text, json_text, remembered, write_json
from pipelines.tracking.mlflow.comparison import share_comparisons
from pipelines.tracking.mlflow.database import Database
from pipelines.tracking.mlflow.open_launches import OpenLaunch
from pipelines.tracking.mlflow.run import PARENT_TAGS, RUN_ID
from pipelines.tracking.protocol import Status, TrackedCell, TrackedLaunch

PARENT = "mlflow.parentRunId"


class MlflowLaunch:
    """The same launch again goes on in the same MLflow runs; a run that several launches have stands below the last."""

    def __init__(self, uri: str, launch: TrackedLaunch) -> None:
        self._launch = launch
        self._database = Database(uri)
        self._open = OpenLaunch(uri, launch.memory, launch.key)
        self._memory = launch.memory / f"{launch.key}.json"
        self._known: dict[str, str] = {}  # MLflow's ids of former launches of the same
        self._id = ""
        self._cells: dict[str, str] = {}  # MLflow's ids by the cells' keys
        self._began = time.monotonic()

    def start(self) -> None:
        self._open.begin()
        self._known = remembered(self._memory)
        self._id = self._open_run("grid", self._launch.title, {"level": "grid", **self._launch.tags})
        for cell in self._launch.cells:
            tags = {"level": "cell", "grid": self._id, PARENT: self._id, **cell.tags}
            self._cells[cell.key] = self._open_run(cell.key, cell.name, tags)
        for cell in self._launch.cells:
            for folder in cell.runs:
                self._adopt(folder, cell)
        benchmarks = [cell.tags["benchmark"] for cell in self._launch.cells]
        views = share_comparisons(self._client, self._database.experiment(), self._id, benchmarks)
        self._database.set_tags(self._id, {"launched": _now(), **views})

    def end(self, status: Status, finished: frozenset[Path], table: str) -> None:
        whole = {cell.key: finished.issuperset(cell.runs) for cell in self._launch.cells}
        ends: dict[str, Status] = {run_id: "FINISHED" if whole[key] else status for key, run_id in self._cells.items()}
        ends[self._id] = status
        self._open.ending(ends)
        runs = [folder for cell in self._launch.cells for folder in cell.runs]
        self._client.log_metric(self._id, "grid/runs", len(runs))
        self._client.log_metric(self._id, "grid/done", len(finished))
        self._client.log_metric(self._id, "grid/minutes", (time.monotonic() - self._began) / 60)
        self._client.log_text(self._id, table, "table.md")
        for run_id, outcome in ends.items():
            self._client.set_terminated(run_id, outcome)
        self._open.ended()

    @property
    def _client(self) -> Any:
        return self._database.client

    def _open_run(self, key: str, name: str, tags: Mapping[str, str]) -> str:
        """MLflow's id; remembered at once, so that a launch that is killed meanwhile goes on in the same."""
        run_id = self._database.open_run(self._known.get(key, ""), name, tags)
        self._known[key] = run_id
        atomic_write_text(self._memory, json_text(self._known))
        self._open.opened(run_id)
        return run_id

    def _adopt(self, folder: Path, cell: TrackedCell) -> None:
        """A run that has an MLflow run gets its tags at once, for it may be finished; another finds them when it starts."""
        parents = {"grid": self._id, PARENT: self._cells[cell.key]}
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / PARENT_TAGS, parents)
        known = folder / RUN_ID
        if known.exists() and self._database.has_run(run_id := known.read_text("utf-8").strip()):
            self._database.set_tags(run_id, {**cell.tags, **parents})


def _now() -> str:
    """Sorts as text."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
