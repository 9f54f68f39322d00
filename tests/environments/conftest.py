"""A dozen small genuine games, two of each type, generated once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.environments.alfworld.benchmark import AlfworldBenchmark
from pipelines.environments.alfworld.config import AlfworldConfig, AlfworldGenerated
from pipelines.registry import benchmark_spec
from pipelines.sections import PromptSettings
from tests.once import made_once

SETTINGS = AlfworldGenerated(train=12, valid_unseen=6, valid_seen=0)


@pytest.fixture(scope="session")
def alfworld() -> AlfworldBenchmark:
    config = AlfworldConfig(max_steps=25, prompt=PromptSettings(show_admissible=False, instructions=False))
    benchmark = benchmark_spec("alfworld").build(config, SETTINGS)
    assert isinstance(benchmark, AlfworldBenchmark)
    return benchmark


@pytest.fixture(scope="session")
def games(alfworld: AlfworldBenchmark, tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(store: Path) -> None:
        alfworld.prepare(store / "data" / "games", workers=1, tick=lambda _: None)

    return made_once(tmp_path_factory, "alfworld", make) / "data" / "games"
