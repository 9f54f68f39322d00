"""Which code it was."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path


@cache
def code_commit() -> str:
    """The checkout's commit as it was at the first call, "+" appended when tracked files differ from it; "unknown" outside a
    repository."""
    try:
        commit = _git("rev-parse", "HEAD")
        return commit.stdout.strip() + ("+" if _git("diff", "--quiet", "HEAD", check=False).returncode else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=check)
