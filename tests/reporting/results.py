"""Results of finished runs, made by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.files import write_checksums

TYPES = ("pick", "look")


def write_results(
    root: Path,
    algorithm: str,
    arm: str,
    seed: int,
    successes: Mapping[int, Sequence[int]],
    *,
    model: str = "tiny",
    **how: Any,
) -> Path:
    """As ``write_run``, into ``root/<cell>/seed<k>``, which it returns."""
    folder = root / f"test-alfworld-{model}-{algorithm}-{arm}" / f"seed{seed}"
    write_run(folder, algorithm, arm, seed, successes, model=model, **how)
    return folder


def write_run(
    folder: Path,
    algorithm: str,
    arm: str,
    seed: int,
    successes: Mapping[int, Sequence[int]],
    *,
    panel: str = "p" * 64,
    model: str = "tiny",
    scores: Mapping[int, Sequence[float]] | None = None,
    types: Sequence[str] = TYPES,
    said: Mapping[str, Any] | None = None,
    **settings: Any,
) -> None:
    """``successes``: iteration → 0 or 1 per task, and so are ``scores`` (None: the same); tasks take the ``types`` in turn.
    ``said``: further entries of run.json. ``settings``: values of the configuration, by
    section."""
    folder.mkdir(parents=True)
    config: dict[str, Any] = {
        "scale": "test", "seed": seed, "benchmark": {"name": "alfworld", "prompt": {"history": "full"}},
        "model": {"name": model, "weights": "stand_in"}, "training": {"iterations": 2},
        "algorithm": {"name": algorithm, "estimator": {"name": algorithm}},
        "empg": {"arm": arm, "k": 1.0, "k_future": 1.0, "zeta": 0.05, "normalization": "batch"},
    }  # fmt: skip
    for name, section in settings.items():
        config[name] = {**config.get(name, {}), **section} if isinstance(section, Mapping) else section
    cell = f"test-alfworld-{model}-{algorithm}-{arm}"
    info = {
        "cell": cell, "seed": seed, "config": config, "panel_sha256": panel, "stand_in": True,
        "fingerprint": "f" * 64, "panel_size": len(next(iter(successes.values()))), "commit": "c" * 40, "versions": {},
        "measures": {"success": "success"}, "averages": {}, "remarks": [], "absent": {}, **(said or {}),
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(info))
    rows = [
        {
            "iteration": i,
            "task_id": f"task{n}",
            "task_type": types[n % len(types)],
            "success": bool(won),
            "score": score,
        }
        for i, values in successes.items()
        for n, (won, score) in enumerate(zip(values, (scores or successes)[i], strict=True))
    ]
    pd.DataFrame(rows).to_parquet(folder / "evaluations.parquet")
    metrics = [
        {"iteration": 0},
        *(
            {
                "iteration": i, "update/kl": 0.01 * i, "entropy/step_mean": 0.3, "entropy/step_range": 1.6 / i,
                "rollout/success": 0.1 * i,
            }
            for i in (1, 2)
        ),
    ]  # fmt: skip
    pd.DataFrame(metrics).to_parquet(folder / "metrics.parquet")
    write_checksums(folder)


def write_study(root: Path) -> None:
    """{GRPO, DAPO} × {off, full}, four tasks; GRPO's arms share seeds 0 and 1, DAPO's only seed 0.

    GRPO off ends at 1/4 and 3/4, GRPO full at 3/4 and 1; everything starts at 1/4.
    """
    start = [1, 0, 0, 0]
    for algorithm, arm, seed, final in (
        ("grpo", "off", 0, [1, 0, 0, 0]),
        ("grpo", "off", 1, [1, 1, 1, 0]),
        ("grpo", "full", 0, [1, 1, 1, 0]),
        ("grpo", "full", 1, [1, 1, 1, 1]),
        ("dapo", "off", 0, [1, 1, 0, 0]),
        ("dapo", "full", 0, [1, 1, 0, 0]),
        ("dapo", "full", 1, [0, 0, 0, 0]),
    ):
        write_results(root, algorithm, arm, seed, {0: start, 2: final})


def edit_table(path: Path, **columns: Any) -> None:
    """Replace columns of a run's parquet table."""
    replace_table(path, pd.read_parquet(path).assign(**columns))


def replace_table(path: Path, table: pd.DataFrame) -> None:
    table.to_parquet(path)
    write_checksums(path.parent)
