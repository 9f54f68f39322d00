"""Registered studies for tests: a small registration, and results that nobody played."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from pipelines.reporting.study.registration import Registration, sha256_of
from pipelines.reporting.study.results import (
    Played,
    Registered,
    RegisteredRun,
    composed_of,
    write_played,
    write_registered,
)  # fmt: skip

TASKS, ROLLOUTS = 60, 2
SMALL: dict[str, Any] = {
    "question": "Does it help?",
    "benchmark": "webshop", "model": "qwen2.5_1.5b", "scale": "smoke",
    "settings": ["data.test=60", "evaluation.games=60", "evaluation.every=9"],
    "tasks": TASKS, "rollouts": ROLLOUTS, "seeds_per_warm_start": 2,
    "arms": {
        "off": ["empg=off"], "full": ["empg=full"], "parts": ["empg=future_bonus"],
        "slow": ["empg=off", "training.learning_rate=1e-5"],
    },
    "primary": {"arm": "full", "baseline": "off"},
    "others": {"parts": "off"},
    "controls": {"slow": {"baseline": "off", "expected": "lower", "at_least": 30, "why": "hardly trained"}},
    "test": {"alpha": 0.05, "looks": 1, "correction": "holm", "power": 0.8},
    "spreads": {"expected": {"warm_start": 1, "seed": 1, "task": 0, "dice": 50}},
    "planned": "expected",
    "hours": {
        1: {"warm_starts": 3, "first": 5, "arms": ["off", "full"]},
        2: {"warm_starts": 6, "first": 20, "arms": ["off", "full", "parts", "slow"]},
    },
}  # fmt: skip


def written(file: Path, **changed: Any) -> Path:
    file.write_text(yaml.safe_dump({**SMALL, **changed}, sort_keys=False))
    return file


def played(gains: Mapping[str, float], hours: int = 2, seed: int = 0) -> Played:
    """Games of chances that tasks have, 20 to 80 %, and arms raise by their gains; rollouts likewise."""
    rng, of = np.random.default_rng(seed), Registration.model_validate(SMALL)
    chances, games, rollouts, runs = rng.uniform(0.2, 0.6, TASKS), [], [], []
    for start in of.warm_starts(of.hours[hours]):
        for run in of.seeds_of(start):
            for arm in of.hours[hours].arms:
                who = {"arm": arm, "warm_start": start, "seed": run}
                end = rng.random(TASKS) < chances + gains.get(arm, 0.0) + 0.2
                tasks = {
                    "task": [f"task{n:02}" for n in range(TASKS)],
                    "start": rng.random(TASKS) < chances,
                    "end": end,
                }
                games.append(pd.DataFrame({**who, **tasks}))
                success = [0.0, 0.4, 0.4 + gains.get(arm, 0.0) + rng.normal(0, 0.01)]
                rollouts.append(pd.DataFrame({**who, "iteration": [1, 2, 3], "success": success}))
                runs.append({**who, "commit": "c" * 40, "seconds": 90.0})
    return Played(pd.concat(games), pd.concat(rollouts), pd.DataFrame(runs))


def study_folder(folder: Path, results: Played | None, hours: int = 2) -> Path:
    """As the study's command leaves it."""
    content, of = written(folder.parent / "small.yaml").read_bytes(), Registration.model_validate(SMALL)
    runs = tuple(
        RegisteredRun(arm=arm, warm_start=start, seed=seed, folder=f"{arm}-w{start}/seed{seed}", fingerprint=f"{arm} {seed}")
        for start in of.warm_starts(of.hours[hours])
        for seed in of.seeds_of(start)
        for arm in of.hours[hours].arms
    )  # fmt: skip
    registered = Registered(
        registration=sha256_of(content), composed=composed_of(runs), commit="c" * 40, registered="2026-01-31 12:00",
        machine={"cpu": "one"}, hours=hours, core_hours=1.5, runs_folder="runs", runs=runs,
    )  # fmt: skip
    write_registered(folder, content, registered)
    if results is not None:
        write_played(folder, results)
    return folder


def write_finished(folder: Path, experiment: Any, machine: Mapping[str, str], end: list[bool], **said: Any) -> None:
    """Results of a run, in its folder, that count as finished."""
    from pipelines.files import write_checksums
    from pipelines.run_folder import run_fingerprint

    results = folder / "results"
    results.mkdir(parents=True)
    info = {
        "cell": experiment.cell, "seed": experiment.seed, "fingerprint": run_fingerprint(experiment), "panel_sha256": "p" * 64,
        "panel_size": len(end), "stand_in": True, "config": experiment.values(), "commit": "c" * 40, "versions": {},
        "measures": {"success": "success"}, "averages": {}, "remarks": [], "absent": {}, "machines": [dict(machine)], **said,
    }  # fmt: skip
    (results / "run.json").write_text(json.dumps(info))
    last = experiment.training.iterations
    rows = [
        {"iteration": at, "task_id": f"task{n:02}", "task_type": "any", "success": won and at > 0, "score": float(won)}
        for at in (0, last)
        for n, won in enumerate(end)
    ]
    pd.DataFrame(rows).to_parquet(results / "evaluations.parquet")
    success = [None, *(0.25 * i for i in range(1, last + 1))]
    pd.DataFrame({"iteration": range(last + 1), "rollout/success": success}).to_parquet(results / "metrics.parquet")
    write_checksums(results)
    (folder / "timing.json").write_text('{"run_s": 30.0, "startup_s": 6.0}')
