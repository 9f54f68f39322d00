"""Whether a launch's folders can be written, found out by writing, before anything starts. Light to import."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from pipelines.config import RunConfig
from pipelines.errors import ConfigError
from pipelines.files import DISK_FULL


def check_folders(configs: Iterable[RunConfig]) -> None:
    """Make ``execution.runs`` and ``execution.artifacts`` where they are not there.

    Raises:
        ConfigError: one is a file, or cannot be made or written.
        OSError: the disk is full.
    """
    executions = [config.execution for config in configs]
    named = [("execution.runs", each.runs) for each in executions]
    named += [("execution.artifacts", each.artifacts) for each in executions]
    for key, folder in dict.fromkeys(named):
        check_folder(key, folder)


def check_folder(key: str, folder: Path) -> None:
    """Make ``folder``, which the command named by ``key``. Raises as ``check_folders``."""
    if folder.is_file():
        raise ConfigError(f"{key}={folder} is a file: name a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        raise ConfigError(
            f"{key}={folder} cannot be used ({error.strerror}: {error.filename}): name a folder that can be made and written to"
        ) from None
