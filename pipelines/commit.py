"""Which code it was."""

from __future__ import annotations

import subprocess
import tomllib
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


def version() -> str:
    """The package's, as the repository says."""
    return str(tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]["version"])


@cache
def commit_date(commit: str) -> str:
    """The day of a commit that ``code_commit`` named, as 2026-01-31; "" where the repository does not know it."""
    try:
        return _git("show", "-s", "--format=%cs", commit.removesuffix("+")).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=check)
