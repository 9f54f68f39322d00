"""What the tracker does to MLflow."""

from __future__ import annotations

from pipelines.patches import warn_unknown

KNOWN = {"mlflow": ("3.17.2",)}


def open_database_at_most(times: int) -> None:
    """How often MLflow tries to open a database, each time after twice the pause; its own ten take 100 seconds."""
    from mlflow.store.db import utils

    warn_unknown("mlflow", KNOWN, "giving up a database that cannot be opened within a second")
    utils.MAX_RETRY_COUNT = times
