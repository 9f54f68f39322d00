"""Six genuine games, compiled once: one of each skill to train on, and of either panel one to fetch."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.environments.cooking.benchmark import CookingBenchmark
from pipelines.environments.cooking.config import CookingConfig, CookingGenerated
from tests.once import made_once

SETTINGS = CookingGenerated(train=4, valid=1, test=1)


@pytest.fixture(scope="session")
def cooking() -> CookingBenchmark:
    return CookingBenchmark(CookingConfig(max_steps=20), SETTINGS)


@pytest.fixture(scope="session")
def games(cooking: CookingBenchmark, tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(store: Path) -> None:
        cooking.prepare(store / "data" / "games", workers=2, tick=lambda _: None)

    return made_once(tmp_path_factory, "cooking", make) / "data" / "games"
