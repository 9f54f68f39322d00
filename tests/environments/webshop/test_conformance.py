"""WebShop passes the kit that every benchmark passes."""

from pathlib import Path

import pytest

from pipelines.environments.base import Benchmark
from pipelines.environments.webshop.benchmark import WebshopBenchmark
from pipelines.environments.webshop.config import WebshopConfig, WebshopGenerated
from tests.environments.conformance import BenchmarkConformance


class TestWebshop(BenchmarkConformance):
    may_give_up = True

    @pytest.fixture
    def benchmark(self) -> Benchmark:
        return WebshopBenchmark(WebshopConfig(), WebshopGenerated(products=9, test=12, dev=6))

    @pytest.fixture
    def folder(self, benchmark: Benchmark, tmp_path: Path) -> Path:
        folder = tmp_path / "store" / "data" / "shop"
        benchmark.prepare(folder, workers=1, tick=lambda _: None)
        return folder
