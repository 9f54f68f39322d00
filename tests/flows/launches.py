"""A launch that this process belongs to, without its windows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flows.launch.context import VARIABLE, LaunchContext, handed_over


def launched(folder: Path, monkeypatch: pytest.MonkeyPatch, **told: object) -> LaunchContext:
    """``told``: fields of the context. It ends with the test."""
    folder.mkdir(parents=True, exist_ok=True)
    context = LaunchContext(folder, Path.cwd(), os.getpid(), **told)  # type: ignore[arg-type]
    monkeypatch.setenv(VARIABLE, "")  # and so it is put back
    with handed_over(context):
        pass
    monkeypatch.setenv(VARIABLE, str(folder))
    return context
