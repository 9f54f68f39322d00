"""MLflow's database: one experiment, and whoever logs to it. A log, never an input: when it fails, one warning is given and
the work goes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.passwords import without_passwords

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ASYNC_LOGGING", "false")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
# A server that is down costs a run some seconds; MLflow's own patience is minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
# So does a PostgreSQL that accepts and says no more.
os.environ.setdefault("PGCONNECT_TIMEOUT", "5")

EXPERIMENT = "empg"  # of all benchmarks: a grid's runs have one parent, and a page shows the runs of one experiment
ARTIFACTS = Path("mlartifacts")
_RETRIES = 3  # of opening a database, in about a second; MLflow's own ten take 100 seconds
DOWN = "EMPG_MLFLOW_DOWN"  # the URI that the launch could not open
_TRAINING = {"mlflow.experimentKind": "custom_model_development"}  # the page opens on runs, not on traces


def create_database(uri: str, without: str = "the launch goes on without it") -> bool:
    """Create or migrate the database once, in the parent: several processes on a fresh one die in the migration. One that cannot
    be opened, or a server that does not answer, is told here once, with what comes ``without`` it; this process and its children
    then log nothing there, and False is returned."""
    os.environ.pop(DOWN, None)
    try:
        if uri.startswith(("sqlite", "postgresql", "mysql")):
            _migrate(uri)
        else:
            from mlflow.tracking import MlflowClient

            MlflowClient(uri).search_experiments(max_results=1)
    except Exception as error:
        os.environ[DOWN] = uri
        warn(f"MLflow at {uri} cannot be opened, {without}", error)
        return False
    return True


def _migrate(uri: str) -> None:
    import logging

    from mlflow.store.db import utils
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    utils.MAX_RETRY_COUNT = _RETRIES
    logging.getLogger("alembic").setLevel(logging.ERROR)
    SqlAlchemyStore(uri, ARTIFACTS.resolve().as_uri())


class Database:
    """A client that gives up after its first failure. ``what`` is logged: "this run", "this launch"."""

    def __init__(self, uri: str, what: str) -> None:
        self.uri, self._what = uri, what
        self.client: Any = None
        self.broken = os.environ.get(DOWN) == uri  # which was told
        self.guarded(self._connect)

    def guarded(self, log: Callable[[], None]) -> None:
        if self.broken:
            return
        try:
            log()
        except Exception as error:
            self.broken = True
            warn(f"MLflow at {self.uri} failed, {self._what} is logged no further", error)

    def experiment(self) -> str:
        """Its id; several processes may want to create it at once."""
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            local = self.uri.startswith("sqlite")
            location = (ARTIFACTS / EXPERIMENT).resolve().as_uri() if local else None
            try:
                return str(self.client.create_experiment(EXPERIMENT, artifact_location=location, tags=_TRAINING))
            except MlflowException:
                found = self.client.get_experiment_by_name(EXPERIMENT)
                if found is None:
                    raise
        return str(found.experiment_id)

    def has_run(self, run_id: str) -> bool:
        """Whether the run is of this database, not of another one that was used before, and was not deleted on the page."""
        from mlflow.exceptions import MlflowException

        try:
            return bool(self.client.get_run(run_id).info.lifecycle_stage == "active")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False

    def _connect(self) -> None:
        from mlflow.store.db import utils
        from mlflow.tracking import MlflowClient

        utils.MAX_RETRY_COUNT = _RETRIES
        self.client = MlflowClient(self.uri)


def warn(text: str, error: Exception) -> None:
    reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    print(f"warning: {without_passwords(f'{text}: {reason}')}", file=sys.stderr, flush=True)
