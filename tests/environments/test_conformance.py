"""Every benchmark passes the same kit."""

from pathlib import Path

import pytest

from pipelines.environments.alfworld.benchmark import AlfworldBenchmark
from pipelines.environments.base import Benchmark
from tests.environments.conformance import BenchmarkConformance
from tests.environments.fake import CountDownBenchmark


class TestCountDown(BenchmarkConformance):
    @pytest.fixture
    def benchmark(self) -> Benchmark:
        return CountDownBenchmark()

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path


class TestAlfworld(BenchmarkConformance):
    @pytest.fixture
    def benchmark(self, alfworld: AlfworldBenchmark) -> Benchmark:
        return alfworld

    @pytest.fixture
    def folder(self, games: Path) -> Path:
        return games
