"""Every benchmark passes the same kit."""

from pathlib import Path

import pytest

from pipelines.environments.alfworld.benchmark import AlfworldBenchmark
from pipelines.environments.base import Benchmark
from pipelines.environments.webshop.benchmark import WebshopBenchmark
from pipelines.environments.webshop.config import WebshopConfig, WebshopGenerated
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


class TestWebshop(BenchmarkConformance):
    @pytest.fixture
    def benchmark(self) -> Benchmark:
        return WebshopBenchmark(WebshopConfig(), WebshopGenerated(products=9, test=12, dev=6))

    @pytest.fixture
    def folder(self, benchmark: Benchmark, tmp_path: Path) -> Path:
        folder = tmp_path / "store" / "data" / "shop"
        benchmark.prepare(folder, workers=1, tick=lambda _: None)
        return folder
