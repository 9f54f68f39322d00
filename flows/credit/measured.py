"""A run given to the oracle, the replay and the score, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.credit.__main__ import main


def measured(run: Path, artifacts: Path, numbers: Sequence[str]) -> int:
    """Give a run to each command; the exit code of the first that fails."""
    how = [str(run), f"execution.artifacts={artifacts}", "execution.progress=false"]
    for command in ("oracle", "replay", "score"):
        if code := main([command, *how, *(numbers if command == "oracle" else ())]):
            return code
    return 0
