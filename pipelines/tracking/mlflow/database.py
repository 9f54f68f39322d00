"""MLflow's database or server, and the one experiment there that all runs belong to."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.tracking.deadline import Bounded, Deadline
from pipelines.tracking.guard import is_bad_value
from pipelines.tracking.mlflow.patches import open_database_at_most

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ASYNC_LOGGING", "false")
os.environ.setdefault(
    "MLFLOW_LOGGING_LEVEL", "CRITICAL"
)  # what it raises is told in one line; it would print tracebacks
# A server that is down costs a run some seconds; MLflow's own patience is minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
# So does a PostgreSQL that accepts connections and answers nothing.
os.environ.setdefault("PGCONNECT_TIMEOUT", "5")

EXPERIMENT = "empg"  # of all benchmarks: a launch's runs have one parent, and a page shows the runs of one experiment
ARTIFACTS = Path("mlartifacts")
_ANSWER_S = 6.0  # a call waits so long; SQLite's own patience with a lock is 20 s under MLflow, PostgreSQL's endless
_BYTES_PER_S = 5e6  # at least, of files that are logged
_MIGRATION_S = 25.0  # of a database that answers
_RETRIES = 3  # of opening a database, in about a second
_TRAINING = {"mlflow.experimentKind": "custom_model_development"}  # the page opens on runs, not on traces
_TOKEN = "token"  # tag of a run: what its folder wrote down before it was made
_REFUSED = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


def create_database(uri: str) -> None:
    """Create or migrate the database, or ask the server for a sign of life. Once, in the parent: several processes on a fresh
    database die in its migration. Raises whatever MLflow, the database's driver or the HTTP client raises."""
    if uri.startswith(("sqlite", "postgresql", "mysql")):
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401  # takes seconds, which are no part of the deadline

        Deadline(_ANSWER_S).call(lambda: _ask(uri))
        Deadline(_MIGRATION_S).call(lambda: _migrate(uri))
    else:
        Database(uri).client.search_experiments(max_results=1)


def _ask(uri: str) -> None:
    """For a sign of life; of SQLite, whether somebody keeps others from writing. Raises what the driver raises."""
    from sqlalchemy import create_engine, make_url
    from sqlalchemy.pool import NullPool

    if uri.startswith("sqlite"):  # without SQLAlchemy, whose first engine takes a while on a machine with much to do
        with closing(sqlite3.connect(make_url(uri).database or "", timeout=0.8 * _ANSWER_S)) as database:
            database.execute("begin immediate")
    else:
        with create_engine(uri, poolclass=NullPool).connect() as connection:
            connection.exec_driver_sql("select 1")


def _migrate(uri: str) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    open_database_at_most(_RETRIES)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    SqlAlchemyStore(uri, ARTIFACTS.resolve().as_uri())


def is_refusal(error: Exception) -> bool:
    """Whether MLflow refused a value or a name, as opposed to a database that cannot be reached."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return error.error_code in _REFUSED
    return is_bad_value(error)


def _copying_s(method: str, *arguments: Any) -> float:
    """Seconds that the files take which a call logs."""
    if not method.startswith("log_artifact"):
        return 0.0
    path = Path(arguments[1])
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files) / _BYTES_PER_S


class Database:
    """MLflow's client for ``uri``, connected when it is first used. All methods raise what MLflow raises, and TimeoutError where
    the database does not answer."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._deadline = Deadline(_ANSWER_S)

    @cached_property
    def client(self) -> Any:
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401  # takes seconds, which are no part of the deadline
        from mlflow.tracking import MlflowClient

        open_database_at_most(_RETRIES)
        # A call that was given up goes on in its thread, and urllib3 would tell of its next try.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        opened = self._deadline.call(lambda: MlflowClient(self.uri))  # which asks the database for its tables
        return Bounded(opened, self._deadline, _copying_s)

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

    def open_run(self, known: str, name: str, tags: Mapping[str, str], token: str = "") -> str:
        """The id of the MLflow run ``known``, or of the one that was made with the ``token``, which runs again with these tags; or
        of a new one. A call that creates a run may be given up and succeed all the same, and nobody hears of its id then."""
        if token:
            tags = {**tags, _TOKEN: token}
        if not (known and self.has_run(known)):
            known = self._made_with(token) if token else ""
        if known:
            self.client.set_terminated(known, "RUNNING")
            self.set_tags(known, tags)
            return known
        return str(self.client.create_run(self.experiment(), tags=dict(tags), run_name=name).info.run_id)

    def _made_with(self, token: str) -> str:
        """The id, "" where there is none that was not deleted on the page."""
        found = self.client.search_runs([self.experiment()], f"tags.{_TOKEN} = '{token}'", max_results=1)
        return str(found[0].info.run_id) if found else ""

    def has_run(self, run_id: str) -> bool:
        """Whether the run is in this database, not in another one that was used before, and was not deleted on the page."""
        return bool(self._status(run_id))

    def end_running(self, run_id: str, status: str) -> None:
        """A run that is there, and says that it is running."""
        if self._status(run_id) == "RUNNING":
            self.client.set_terminated(run_id, status)

    def _status(self, run_id: str) -> str:
        """As MLflow calls it; empty where the run is not there, or was deleted on the page."""
        from mlflow.exceptions import MlflowException

        try:
            info = self.client.get_run(run_id).info
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return ""
        return str(info.status) if info.lifecycle_stage == "active" else ""

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        self.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
