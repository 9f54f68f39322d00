"""MLflow: one run per cell and seed; a launch of many is a run above its cells, and these above their seeds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import field_validator

from pipelines.tracking.protocol import LaunchTracker, Pages, TrackedLaunch, TrackedRun, Tracker, TrackerSettings

_KINDS = ("sqlite", "postgresql", "mysql", "http", "https")


class MlflowSettings(TrackerSettings):
    """Pages of runs, launches and comparisons.

    ``uri``: a database (``sqlite:///…``, ``postgresql://…``, ``mysql://…``) or the address of an MLflow server."""

    title: ClassVar[str] = "MLflow"
    library: ClassVar[str] = "mlflow"
    extra: ClassVar[str] = "platform"
    uri: str = "sqlite:///mlflow.db"

    @field_validator("uri")
    @classmethod
    def _is_one(cls, uri: str) -> str:
        kind = uri.partition(":")[0].partition("+")[0].lower()  # of a database also with its driver: mysql+pymysql
        if "://" not in uri or kind not in _KINDS:
            raise ValueError(
                f"write the address of a database or of a server: {', '.join(f'{kind}://…' for kind in _KINDS)}"
            )
        return uri

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

    def owe(self, folder: Path) -> None:
        from pipelines.tracking.mlflow.owed import owe

        owe(folder, self.uri)

    def owes(self, folder: Path) -> bool:
        from pipelines.tracking.mlflow.owed import owed

        return owed(folder, self.uri) is not None

    def killed_launches(self, memory: Path) -> Sequence[Path]:
        from pipelines.tracking.mlflow.open_launches import killed_launches

        return killed_launches(self.uri, memory)

    def end_killed_launch(self, file: Path) -> None:
        from pipelines.tracking.mlflow.database import Database
        from pipelines.tracking.mlflow.open_launches import end_killed

        end_killed(Database(self.uri), file)

    def pages(self, runs: Path, port: int) -> Pages:
        """MLflow's own server. The database's address, which may hold a password, is no argument: every user of the machine sees
        those."""
        from pipelines.tracking.mlflow.comparison import last_comparisons, runs_page
        from pipelines.tracking.mlflow.database import ARTIFACTS, Database

        base, client = f"http://127.0.0.1:{port}", Database(self.uri).client

        def addresses() -> dict[str, str]:
            return {"MLflow": runs_page(client, base)} | (
                last_comparisons(client, base) or {"comparison": "no launch of many yet"}
            )

        return Pages(
            [
                sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
                "--artifacts-destination", str(ARTIFACTS),
            ],
            # Its jobs are for judging traces, which no run has: seven processes that pages wait for.
            {
                "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "MLFLOW_BACKEND_STORE_URI": self.uri,
            },
            addresses,
        )  # fmt: skip


SETTINGS = MlflowSettings
