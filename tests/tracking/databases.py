"""MLflow's database as it is made empty, which takes seconds each time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipelines.tracking.mlflow import MlflowSettings
from tests.once import made_once

NAME = "mlflow.db"  # as in conf/tracker/mlflow.yaml


def with_mlflow(folder: Path, factory: pytest.TempPathFactory) -> Path:
    """A folder that launches find an empty database in, as if one had made it before; returns the database."""
    made = made_once(factory, "mlflow", lambda root: MlflowSettings(uri=f"sqlite:///{root / NAME}").prepare())
    return Path(shutil.copy(made / NAME, folder))
