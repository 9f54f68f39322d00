"""Deep Search passes the kit that every benchmark passes."""

from pathlib import Path

import pytest

from pipelines.environments.base import Benchmark
from pipelines.environments.deepsearch.benchmark import DeepsearchBenchmark
from tests.environments.conformance import BenchmarkConformance


class TestDeepsearch(BenchmarkConformance):
    may_give_up = True

    @pytest.fixture
    def benchmark(self, deepsearch: DeepsearchBenchmark) -> Benchmark:
        return deepsearch

    @pytest.fixture
    def folder(self, worlds: Path) -> Path:
        return worlds
