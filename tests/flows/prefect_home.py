"""Prefect's database as a server makes it, which takes it five seconds each time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.windows.prefect_server import HOME, settings
from tests.once import made_once


def with_prefect(folder: Path, factory: pytest.TempPathFactory) -> Path:
    """A folder that launches find Prefect's database in, as if one had been there before; returns it."""
    shutil.copytree(made_once(factory, "prefect", _migrate), folder / HOME)
    return folder


def _migrate(home: Path) -> None:
    command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
    subprocess.run(command, env={**os.environ, **settings(home)}, check=True, capture_output=True)
