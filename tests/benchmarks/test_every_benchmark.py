"""Every benchmark of ``make bench`` once, as small as it goes: that it runs and tells its rows, and nothing of how fast anything is."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import ENVIRONMENT, _titles
from pipelines.environments.alfworld.config import AlfworldGenerated
from pipelines.environments.deepsearch.config import DeepsearchGenerated

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

SMALL_ROOMS = AlfworldGenerated(train=1, valid_unseen=1)
SMALL_WORLD = DeepsearchGenerated(train_worlds=0, train=30, test=12)
# What of its constants makes each of them small.
SIZES: dict[str, dict[str, Any]] = {
    "alfworld": {"REPEATS": 1, "LAPS": 1, "LAPTOP": SMALL_ROOMS, "WHOLE": SMALL_ROOMS},
    "credit": {"REPEATS": 1, "TASKS": 2, "MEMBERS": 4, "STEPS": 5, "STATES": 6},
    "deepsearch": {"REPEATS": 1, "WORLD": SMALL_WORLD, "LAPTOP": SMALL_WORLD},
    "empg": {"REPEATS": 1, "TRAJECTORIES": 4, "STEPS": 3},
    "entropy": {"REPEATS": 1, "SIZES": (64, 32, 512)},
    "generation": {"REPEATS": 1},
    "grid": {"REPEATS": 1, "SEEDS": 1},
    "iteration": {"REPEATS": 1},
    "memory": {"TOLERANCE": 1e9},
    "linear": {"REPEATS": 1, "TOKENS": 64, "CALLS": 1},
    "many_runs": {"_ALGORITHMS": ("grpo",), "FEW": 5, "MANY": 20},
    "overhead": {"REPEATS": 1},
    "paper_iteration": {},  # it is about its size
    "tracking": {"REPEATS": 1, "RUNS": 1, "FEW": 2, "MANY": 4},
    "webshop": {"REPEATS": 1, "EPISODES": 2, "MANY": 1000},
}
OVERRIDES = {
    "memory": ("benchmark.prompt.instructions=false",),  # to a stand-in, each of their letters is a token
    "overhead": ("training.iterations=1", "training.tasks=2", "training.group_size=2", "warm_start.tokens=5000"),
}


def test_every_benchmark_has_a_small_size() -> None:
    assert SIZES.keys() == _titles().keys()


@pytest.mark.parametrize("name", SIZES)
def test_it_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in ENVIRONMENT.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.chdir(Path(__file__).parents[2])
    module = import_module(f"benchmarks.bench_{name}")
    for constant, size in SIZES[name].items():
        monkeypatch.setattr(module, constant, size)
    if name in OVERRIDES:
        monkeypatch.setattr(module, "_OVERRIDES", (*module._OVERRIDES, *OVERRIDES[name]))
    if name == "iteration":  # the stand-in alone
        small = ("training.tasks=2", "training.group_size=2", "training.minibatch_size=2")
        monkeypatch.setattr(module, "LAPTOP", replace(module.LAPTOP, overrides=(*module.LAPTOP.overrides, *small)))
        monkeypatch.setattr(module, "find_spec", lambda _: None)
    if name == "memory":  # nor one of half a billion
        make = import_module("benchmarks.bench_generation")._stand_in
        monkeypatch.setattr(module, "_model", lambda folder: make(64, 2, folder) and folder)
    if name == "generation":  # not a model of 135 million parameters
        small = module.Shape(episodes=2, turns=2, opening=8, observation=2, action=2, target=1.0)
        monkeypatch.setattr(module, "TINY", small)
        monkeypatch.setattr(module, "_smollm2", lambda folder: module._stand_in(64, 2, folder))
    rows = getattr(module, f"bench_{name}")()
    assert rows
    for row in rows:
        assert row["name"]
        assert math.isfinite(row["ratio"])
        assert row["ratio"] > 0
        assert row["repeats"] == 1
