"""A run given to the oracle, the replay, the gradients and the score, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.credit.__main__ import main

_ARMS = "modulators=off,full,aem"
_SIZES = (2, 4, 8, 16)  # of groups, those that are smaller than the run's own


def measured(run: Path, out: Path, artifacts: Path, group_size: int, numbers: Sequence[str]) -> int:
    """Give a run to each command, which write to folders in ``out``; the exit code of the first that fails."""
    sizes = ",".join(str(size) for size in _SIZES if size < group_size)
    how = [f"execution.artifacts={artifacts}", "execution.progress=false"]
    oracle = f"oracle={out / 'oracle'}"
    for command, *own in (
        ("oracle", *numbers), ("replay", _ARMS), ("gradients", oracle), ("score", oracle, _ARMS, f"sizes={sizes}"),
    ):  # fmt: skip
        to = [] if command == "gradients" else [f"out={out / command}"]
        if code := main([command, str(run), *how, *own, *to]):
            return code
    return 0
