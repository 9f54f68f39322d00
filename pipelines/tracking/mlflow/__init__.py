"""MLflow: one run per cell and seed; a launch of many is a run above its cells, and these above their seeds."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pipelines.tracking.protocol import LaunchTracker, Pages, TrackedLaunch, TrackedRun, Tracker, TrackerSettings


class MlflowSettings(TrackerSettings):
    """``uri``: a database (``sqlite:///…``, ``postgresql://…``, ``mysql://…``) or the address of an MLflow server."""

    title: ClassVar[str] = "MLflow"
    library: ClassVar[str] = "mlflow"
    extra: ClassVar[str] = "platform"
    uri: str = "sqlite:///mlflow.db"

    @property
    def place(self) -> str:
        return f"{self.title} at {self.uri}"

    def prepare(self) -> None:
        from pipelines.tracking.mlflow.database import create_database

        create_database(self.uri)

    def track_run(self, run: TrackedRun) -> Tracker:
        from pipelines.tracking.mlflow.run import MlflowRun

        return MlflowRun(self.uri, run)

    def track_launch(self, launch: TrackedLaunch) -> LaunchTracker:
        from pipelines.tracking.mlflow.launch import MlflowLaunch

        return MlflowLaunch(self.uri, launch)

    def pages(self, runs: Path, port: int) -> Pages:
        from pipelines.tracking.mlflow.pages import mlflow_pages

        return mlflow_pages(self.uri, port)


SETTINGS = MlflowSettings
