"""One run of the platform as one MLflow run."""

from __future__ import annotations

import json
import math
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from pipelines.files import atomic_write_text, remembered
from pipelines.tracking.guard import Refusals, warn
from pipelines.tracking.mlflow.database import Database, is_refusal
from pipelines.tracking.mlflow.names import acceptable
from pipelines.tracking.mlflow.owed import Point, owe, owed, settle
from pipelines.tracking.protocol import Status, TrackedRun, flat

RUN_ID = "mlflow_run_id"  # file in the run's folder
TOKEN = "mlflow_run_token"  # too: by which the MLflow run is found whose id was never told
PARENT_TAGS = "mlflow_launch_tags.json"  # too: the MLflow runs that its last launch put it below
_DESCRIPTION = "mlflow.note.content"  # what the page of a run begins with, in Markdown
_BATCH = 1000  # points that MLflow takes at once
_FLUSH_S = 15.0  # points wait so long for more: 100 ms now and then instead of 40 ms a point
_PAUSE_S = 30.0  # after a failure; it doubles
_PATIENCE_S = 6.0  # that failures may take of a run; then it is tried once more, at the end
_LATER = "any later launch, or python -m flows.sync, completes it"


class MlflowRun:
    """Calls wait in a queue, in order, while the database cannot be reached; it is tried again now and then, and at the end. What it
    was not told then is kept in the run's folder."""

    def __init__(self, uri: str, run: TrackedRun) -> None:
        self._run, self._uri, self._place = run, uri, f"MLflow at {uri}"
        self._database = Database(uri)
        self._refusals = Refusals("MLflow", is_refusal)
        self._lacks: set[str] = set()  # what MLflow could not keep, a full disk's files: its page is owed
        self._calls: deque[tuple[str, Callable[[], None]]] = deque()
        self._points: list[Point] = []
        self._logged: set[tuple[str, int]] = set()
        self._flushed, self._pause, self._not_before, self._spent = time.monotonic(), _PAUSE_S, 0.0, 0.0
        self._id = ""

    def start(self) -> None:
        self._points = owed(self._run.folder, self._uri) or []
        owe(self._run.folder, self._uri, self._points)
        self._calls += [("the run", self._open), ("the configuration", self._log_parameters)]
        self._try(self._deliver_calls)

    def metrics(self, iteration: int, values: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        for name, value in values.items():
            with self._refusals.lose_only(name):
                self._points.append((name, float(value), iteration, now))
        if len(self._points) >= _BATCH or time.monotonic() - self._flushed > _FLUSH_S:
            self._try(self._deliver)

    def evaluation(self, iteration: int, table: Any) -> None:
        name = f"evaluations/iteration{iteration:04d}.json"
        rows = [[_plain(value) for value in row.values()] for row in table.to_pylist()]
        text = json.dumps({"columns": table.column_names, "data": rows}, default=str)
        self._calls.append(("the evaluations", lambda: self._client.log_text(self._id, text, name)))
        self._try(self._deliver_calls)

    def upload(self, results: Path, model: Path | None) -> None:
        self._calls.append(("the results", lambda: self._log_files(results, model)))
        self._try(self._deliver_calls)

    def end(self, status: Status) -> None:
        try:
            self._deliver()
            self._client.set_terminated(self._id, status)
            if not self._lacks:
                settle(self._run.folder, self._uri)
        except Exception as error:
            owe(self._run.folder, self._uri, self._points)
            warn(f"{self._place} failed, the page of {self._run.folder} is not complete ({_LATER})", error)

    # ---------------------------------------------------------------------------------------------------------------

    @property
    def _client(self) -> Any:
        return self._database.client

    def _try(self, deliver: Callable[[], None]) -> None:
        """After a failure, the next try waits."""
        if time.monotonic() < self._not_before:
            return
        began = time.monotonic()
        try:
            deliver()
        except Exception as error:
            if not self._not_before:
                warn(f"{self._place} failed, what this run logs waits for it", error)
            failed = time.monotonic()
            self._spent += failed - began
            self._not_before = failed + self._pause if self._spent < _PATIENCE_S else math.inf
            self._pause *= 2

    def _deliver_calls(self) -> None:
        while self._calls:
            name, call = self._calls[0]
            try:
                call()
            except Exception as error:
                if not self._id or isinstance(error, TimeoutError):
                    raise
                self._client.get_run(self._id)  # raises where the database is away: then the call waits
                self._once_more(name, call)
            self._calls.popleft()

    def _once_more(self, name: str, call: Callable[[], None]) -> None:
        """Files have a place of their own, which may be full or gone where the database is there."""
        try:
            with self._refusals.lose_only(name):
                call()
        except TimeoutError:
            raise
        except Exception as error:
            if name not in self._lacks:
                warn(f"{self._place} could not keep {name} of {self._run.folder} ({_LATER})", error)
            self._lacks.add(name)

    def _deliver(self) -> None:
        self._deliver_calls()
        self._flushed = time.monotonic()
        fresh: dict[tuple[str, int], Point] = {}  # what a folder kept, a resumed run tells again
        for point in self._points:
            fresh.setdefault((acceptable(point[0]), point[2]), point)
        points = [point for key, point in fresh.items() if key not in self._logged]
        for at in range(0, len(points), _BATCH):
            self._log_points(points[at : at + _BATCH])
        self._points = []

    def _open(self) -> None:
        """Begin the MLflow run, or go on in the one that this folder remembers."""
        memory = self._run.folder / RUN_ID
        known = memory.read_text("utf-8").strip() if memory.exists() else ""
        tags = {**self._run.tags, "level": "run", **remembered(self._run.folder / PARENT_TAGS)}
        if command := tags.get("command"):
            tags[_DESCRIPTION] = f"```\n{command}\n```"
        self._id = self._database.open_run(known, self._run.name, tags, self._token())
        if self._id != known:
            atomic_write_text(memory, self._id)
        for key in self._client.get_run(self._id).data.metrics:
            self._logged |= {(key, metric.step) for metric in self._client.get_metric_history(self._id, key)}

    def _token(self) -> str:
        """The same for as long as the folder is there."""
        memory = self._run.folder / TOKEN
        with suppress(OSError):
            if token := re.sub(r"[^0-9a-f]", "", memory.read_text("utf-8", "replace")):
                return token
        atomic_write_text(memory, token := uuid4().hex)
        return token

    def _log_parameters(self) -> None:
        """The same values again are no change: a resumed run whose first process was killed here has them too."""
        from mlflow.entities import Param

        self._log("params", [Param(acceptable(key), str(value)) for key, value in flat(self._run.config)])

    def _log_points(self, points: list[Point]) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(acceptable(name), value, now, iteration) for name, value, iteration, now in points]
        self._log("metrics", metrics)
        self._logged |= {(metric.key, metric.step) for metric in metrics}

    def _log(self, kind: Literal["params", "metrics"], entities: list[Any]) -> None:
        """All at once; where something is refused, each alone."""
        try:
            self._client.log_batch(self._id, **{kind: entities})
        except Exception as error:
            if not is_refusal(error):
                raise
            for entity in entities:
                with self._refusals.lose_only(entity.key):
                    self._client.log_batch(self._id, **{kind: [entity]})

    def _log_files(self, results: Path, model: Path | None) -> None:
        self._client.log_artifact(self._id, str(self._run.folder / "params.yaml"))
        self._client.log_artifacts(self._id, str(results), "results")
        if model is not None:
            self._client.log_artifacts(self._id, str(model), "model")


def _plain(value: Any) -> Any:
    """JSON, as browsers read it, has no NaN and no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
