from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.tracking.mlflow import MlflowSettings


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of MLflow's, to be copied: making one takes seconds."""
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowSettings(uri=f"sqlite:///{file}").prepare()
    return file
