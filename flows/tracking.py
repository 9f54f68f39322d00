"""MLflow: one run per cell and seed. A log, never an input: when it fails, one warning is given and the run goes on."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipelines.artifacts import atomic_write_text

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ASYNC_LOGGING", "false")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")

ARTIFACTS = Path("mlartifacts")
_FLUSH = 1000  # buffered values per batch: 100 ms now and then instead of 40 ms per value
_FLUSH_S = 15.0
_TRAINING = {"mlflow.experimentKind": "custom_model_development"}  # the page opens on runs, not on traces


def create_database(uri: str) -> None:
    """Create or migrate the database once, in the parent: several processes on a fresh one die in the migration."""
    if not uri.startswith(("sqlite", "postgresql", "mysql")):
        return
    try:
        import logging

        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        logging.getLogger("alembic").setLevel(logging.ERROR)
        SqlAlchemyStore(uri, ARTIFACTS.resolve().as_uri())
    except Exception as error:
        _warn(f"MLflow's database {uri} cannot be opened, the launch goes on without it", error)


class Tracker:
    """Logs one run; remembers MLflow's run id in the run's folder, so that a resumed run goes on in the same one."""

    def __init__(self, uri: str, folder: Path) -> None:
        self._uri, self._folder = uri, folder
        self._buffer: list[tuple[str, float, int]] = []
        self._logged: set[tuple[str, int]] = set()
        self._flushed = time.monotonic()
        self._client: Any = None
        self._run_id = ""
        self._broken = False
        self._guarded(self._connect)

    def start(self, info: Mapping[str, Any]) -> None:
        """Begin the MLflow run, or go on in the one that this folder remembers."""
        self._guarded(lambda: self._start(info))

    def metrics(self, iteration: int, values: Mapping[str, float]) -> None:
        """Buffered; what an earlier process of this run has logged is not logged again."""
        self._buffer += [(k, float(v), iteration) for k, v in values.items() if (k, iteration) not in self._logged]
        if len(self._buffer) >= _FLUSH or time.monotonic() - self._flushed > _FLUSH_S:
            self.flush()

    def evaluation(self, iteration: int, table: Any) -> None:
        self._guarded(lambda: self._log_table(iteration, table))

    def upload(self, results: Path, model: Path | None) -> None:
        self._guarded(lambda: self._upload(results, model))

    def end(self, status: str) -> None:
        """Last words: "FINISHED", "FAILED" or "KILLED"."""
        self.flush()
        if self._run_id:
            self._guarded(lambda: self._client.set_terminated(self._run_id, status))

    def flush(self) -> None:
        if self._run_id:
            self._guarded(self._flush)

    # ---------------------------------------------------------------------------------------------------------------

    def _guarded(self, log: Callable[[], None]) -> None:
        if self._broken:
            return
        try:
            log()
        except Exception as error:
            self._broken = True
            self._buffer = []
            _warn(f"MLflow at {self._uri} failed, this run is logged no further", error)

    def _connect(self) -> None:
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient(self._uri)

    def _start(self, info: Mapping[str, Any]) -> None:
        memory = self._folder / "mlflow_run_id"
        known = memory.read_text().strip() if memory.exists() else ""
        if not (known and self._resume(known)):
            run = self._client.create_run(self._experiment(info), tags=_tags(info), run_name=_run_name(info))
            self._run_id = run.info.run_id
            atomic_write_text(memory, self._run_id)
        self._log_params(info)

    def _experiment(self, info: Mapping[str, Any]) -> str:
        """Id of MLflow's experiment of this benchmark; several processes may want to create it at once."""
        from mlflow.exceptions import MlflowException

        name = f"empg-{info['config']['benchmark']['name']}"
        found = self._client.get_experiment_by_name(name)
        if found is None:
            local = self._uri.startswith("sqlite")
            location = (ARTIFACTS / name).resolve().as_uri() if local else None
            try:
                return str(self._client.create_experiment(name, artifact_location=location, tags=_TRAINING))
            except MlflowException:
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _resume(self, run_id: str) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            run = self._client.get_run(run_id)
        except MlflowException:  # another database than the one it was started with
            return False
        self._run_id = run_id
        self._client.set_terminated(run_id, "RUNNING")
        for key in run.data.metrics:
            self._logged |= {(key, m.step) for m in self._client.get_metric_history(run_id, key)}
        self._buffer = [kept for kept in self._buffer if (kept[0], kept[2]) not in self._logged]
        return True

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


def _warn(text: str, error: Exception) -> None:
    reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    print(f"warning: {text}: {reason}", file=sys.stderr, flush=True)


def _run_name(info: Mapping[str, Any]) -> str:
    """What differs in a comparison comes first: the page cuts long names."""
    config = info["config"]
    cell = f"{config['algorithm']['name']} {config['empg']['arm']} seed{info['seed']}"
    return f"{cell} · {config['model']['name']} {config['scale']}"


def _tags(info: Mapping[str, Any]) -> dict[str, str]:
    config = info["config"]
    return {
        "git_commit": info["commit"],
        "config_fingerprint": info["fingerprint"],
        "panel_sha256": info["panel_sha256"],
        "cell": info["cell"],
        "benchmark": config["benchmark"]["name"],
        "model": config["model"]["name"],
        "algorithm": config["algorithm"]["name"],
        "empg": config["empg"]["arm"],
        "seed": str(info["seed"]),
        "scale": config["scale"],
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in values.items():
        flat += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return flat
