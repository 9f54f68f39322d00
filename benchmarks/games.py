"""A benchmark's data made for a measurement and thrown away after it."""

from __future__ import annotations

import os
from pathlib import Path

from pipelines.environments.base import Benchmark
from pipelines.registry import benchmark_spec
from pipelines.sections import BenchmarkSection, DataSection


def make_games(config: BenchmarkSection, data: DataSection, store: Path) -> tuple[Benchmark, Path]:
    """The benchmark and the folder of its data below ``store``, laid out as in an artifact store: what it caches lies
    beside it, not in the user's cache."""
    os.environ.setdefault("ALFWORLD_DATA", str(store))  # else alfworld makes a folder in the home
    folder = store / "data" / "games"
    benchmark = benchmark_spec(config.name).build(config, data)
    benchmark.prepare(folder, workers=1, tick=lambda _: None)
    return benchmark, folder
