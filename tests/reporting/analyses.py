"""The tables of an analysis, made by hand, beside the results of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.files import write_checksums


def add_entropy_change(folder: Path, before: Sequence[float], after: Sequence[float]) -> None:
    rows = {"task_id": "task0", "group": 0, "member": 0, "step": range(len(before))}
    _add(folder, "entropy_change.parquet", pd.DataFrame({**rows, "entropy_before": before, "entropy_after": after}))


def add_proposition1(folder: Path, initial: Mapping[float, float], final: Mapping[float, float]) -> None:
    """H₂ → measured; the prediction is another number, so that a figure cannot take one for the other."""
    rows = [
        {
            "policy": name,
            "group": 0,
            "member": 0,
            "step": 0,
            "renyi2_entropy": h,
            "predicted": norm - 0.25,
            "measured": norm,
        }
        for name, points in (("initial", initial), ("final", final))
        for h, norm in points.items()
    ]
    _add(folder, "proposition1.parquet", pd.DataFrame(rows))


def trajectory(iteration: int = 0, member: int = 0, *, success: bool = True, **columns: Any) -> pd.DataFrame:
    """``columns``: a value for all steps, or a list with one per step; H_norm says how many there are. H is 0.1 + 1.6 H_norm."""
    defaults: dict[str, Any] = {
        "iteration": iteration, "task_id": "task0", "task_type": "pick", "group": 0, "member": member, "success": success,
        "score": float(success), "episode_reward": 10.0 * success, "stop_reason": "success" if success else "max_steps",
        "prompt": "Your task is to look.", "text": "look", "observation": "You see a mug.", "reward": 0.0, "valid": True,
        "A": 1.0, "H_norm": [0.0, 1.0], "g": 1.0, "f": 0.0, "A_mod": 1.0, "A_final": 1.0,
    }  # fmt: skip
    values = defaults | columns
    values.setdefault("H", [0.1 + 1.6 * h for h in values["H_norm"]])
    return pd.DataFrame({"step": range(len(values["H_norm"])), **values})


def add_trajectories(folder: Path, *trajectories: pd.DataFrame) -> None:
    _add(folder, "trajectories.parquet", pd.concat(trajectories))


def _add(folder: Path, name: str, table: pd.DataFrame) -> None:
    table.to_parquet(folder / name)
    write_checksums(folder)
