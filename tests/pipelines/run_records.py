"""Records of runs: one that the committed grid wrote, with other values where a test needs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipelines.run_info import RunInfo

GRID = sorted((Path(__file__).parents[2] / "results" / "grid").rglob("run.json"))


def record_values(**other: Any) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(GRID[0].read_text())
    return values | other


def record(**other: Any) -> RunInfo:
    return RunInfo.model_validate_json(json.dumps(record_values(**other)))
