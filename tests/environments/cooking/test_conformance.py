"""The cooking games pass the kit that every benchmark passes."""

from pathlib import Path

import pytest

from pipelines.environments.base import Benchmark
from pipelines.environments.cooking.benchmark import CookingBenchmark
from tests.environments.conformance import BenchmarkConformance

pytestmark = pytest.mark.filterwarnings("ignore::jericho.UnsupportedGameWarning")  # Jericho scores no game of TextWorld


class TestCooking(BenchmarkConformance):
    may_give_up = True  # burnt food loses the game

    @pytest.fixture
    def benchmark(self, cooking: CookingBenchmark) -> Benchmark:
        return cooking

    @pytest.fixture
    def folder(self, games: Path) -> Path:
        return games
