"""MLflow's own server of its pages, and the address of the last launch's comparison."""

from __future__ import annotations

import sys

from pipelines.tracking.mlflow.comparison import last_comparison
from pipelines.tracking.mlflow.database import ARTIFACTS, Database
from pipelines.tracking.protocol import Pages


def mlflow_pages(uri: str, port: int) -> Pages:
    """The database's address, which may hold a password, is no argument: every user of the machine sees those. Raises what MLflow
    raises where the database cannot be read."""
    base = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    comparison = last_comparison(Database(uri).client, base) or "no launch of many yet"
    return Pages(
        [*command, "--artifacts-destination", str(ARTIFACTS)],
        {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_BACKEND_STORE_URI": uri},
        {"MLflow": f"{base}/?workflowType=machine_learning", "MLflow, comparison": comparison},
    )
