"""MLflow: one run per cell and seed. Its launch may have a run above it (``flows/grid_tracking.py``)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.mlflow_database import Database
from pipelines.artifacts import atomic_write_text
from pipelines.files import read_json

RUN_ID = "mlflow_run_id"  # file in the run's folder
LAUNCH_TAGS = "mlflow_launch_tags.json"  # too: what its last launch says of it
_FLUSH = 1000  # buffered values per batch: 100 ms now and then instead of 40 ms per value
_FLUSH_S = 15.0


class Tracker:
    """Logs one run; remembers MLflow's run id in the run's folder, so that a resumed run goes on in the same one."""

    def __init__(self, uri: str, folder: Path) -> None:
        self._folder = folder
        self._buffer: list[tuple[str, float, int]] = []
        self._logged: set[tuple[str, int]] = set()
        self._flushed = time.monotonic()
        self._database = Database(uri, "this run")
        self._run_id = ""

    @property
    def _client(self) -> Any:
        return self._database.client

    def start(self, info: Mapping[str, Any]) -> None:
        """Begin the MLflow run, or go on in the one that this folder remembers."""
        self._database.guarded(lambda: self._start(info))

    def metrics(self, iteration: int, values: Mapping[str, float]) -> None:
        """Buffered; what an earlier process of this run has logged is not logged again."""
        self._buffer += [(k, float(v), iteration) for k, v in values.items() if (k, iteration) not in self._logged]
        if len(self._buffer) >= _FLUSH or time.monotonic() - self._flushed > _FLUSH_S:
            self.flush()

    def evaluation(self, iteration: int, table: Any) -> None:
        self._database.guarded(lambda: self._log_table(iteration, table))

    def upload(self, results: Path, model: Path | None) -> None:
        self._database.guarded(lambda: self._upload(results, model))

    def end(self, status: str) -> None:
        """Last words: "FINISHED", "FAILED" or "KILLED"."""
        self.flush()
        if self._run_id:
            self._database.guarded(lambda: self._client.set_terminated(self._run_id, status))

    def flush(self) -> None:
        if self._run_id:
            self._database.guarded(self._flush)
        if self._database.broken:
            self._buffer = []

    # ---------------------------------------------------------------------------------------------------------------

    def _start(self, info: Mapping[str, Any]) -> None:
        memory = self._folder / RUN_ID
        known = memory.read_text().strip() if memory.exists() else ""
        tags = _tags(info) | remembered(self._folder / LAUNCH_TAGS)
        if known and self._database.has_run(known):
            self._resume(known, tags)
        else:
            run = self._client.create_run(self._database.experiment(), tags=tags, run_name=_run_name(info))
            self._run_id = run.info.run_id
            atomic_write_text(memory, self._run_id)
        self._log_params(info)

    def _resume(self, run_id: str, tags: Mapping[str, str]) -> None:
        self._run_id = run_id
        self._client.set_terminated(run_id, "RUNNING")
        set_tags(self._client, run_id, tags)
        for key in self._client.get_run(run_id).data.metrics:
            self._logged |= {(key, m.step) for m in self._client.get_metric_history(run_id, key)}
        self._buffer = [kept for kept in self._buffer if (kept[0], kept[2]) not in self._logged]

    def _log_params(self, info: Mapping[str, Any]) -> None:
        """The same values again are no change: a resumed run whose first process was killed here has them too."""
        from mlflow.entities import Param

        params = [Param(k, str(v)) for k, v in _flat(info["config"])]
        self._client.log_batch(self._run_id, params=params)

    def _flush(self) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._flushed = time.monotonic()
        for at in range(0, len(self._buffer), 1000):
            part = self._buffer[at : at + 1000]
            self._client.log_batch(self._run_id, metrics=[Metric(k, v, now, step) for k, v, step in part])
        self._logged |= {(k, step) for k, _, step in self._buffer}
        self._buffer = []

    def _log_table(self, iteration: int, table: Any) -> None:
        columns = json.dumps({"columns": table.column_names, "data": [list(r.values()) for r in table.to_pylist()]})
        self._client.log_text(self._run_id, columns, f"evaluations/iteration{iteration:04d}.json")

    def _upload(self, results: Path, model: Path | None) -> None:
        self._client.log_artifact(self._run_id, str(self._folder / "params.yaml"))
        self._client.log_artifacts(self._run_id, str(results), "results")
        if model is not None:
            self._client.log_artifacts(self._run_id, str(model), "model")


def remembered(file: Path) -> dict[str, str]:
    """What ``write_json`` left there; nothing where it left nothing."""
    try:
        return {str(key): str(value) for key, value in read_json(file).items()}
    except (OSError, ValueError):
        return {}


def set_tags(client: Any, run_id: str, tags: Mapping[str, str]) -> None:
    from mlflow.entities import RunTag

    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])


def experiment_tags(config: Mapping[str, Any]) -> dict[str, str]:
    """What comparisons go by, of every seed of a cell. ``config``: ``ExperimentConfig.values()``."""
    return {
        "benchmark": config["benchmark"]["name"],
        "model": config["model"]["name"],
        "algorithm": config["algorithm"]["name"],
        "empg": config["empg"]["arm"],
        "scale": config["scale"],
    }


def _run_name(info: Mapping[str, Any]) -> str:
    """What differs in a comparison comes first: the page cuts long names."""
    config = info["config"]
    cell = f"{config['algorithm']['name']} {config['empg']['arm']} seed{info['seed']}"
    return f"{cell} · {config['model']['name']} {config['scale']}"


def _tags(info: Mapping[str, Any]) -> dict[str, str]:
    return experiment_tags(info["config"]) | {
        "level": "run",
        "git_commit": info["commit"],
        "config_fingerprint": info["fingerprint"],
        "panel_sha256": info["panel_sha256"],
        "cell": info["cell"],
        "seed": str(info["seed"]),
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in values.items():
        flat += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return flat
