"""What the platform knows of WebShop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.environments.webshop.config import WebshopConfig, WebshopGenerated, WebshopReal
from pipelines.registry import BenchmarkSpec

if TYPE_CHECKING:
    from pipelines.environments.base import Benchmark


def _build(config: WebshopConfig, data: WebshopGenerated | WebshopReal) -> Benchmark:
    from pipelines.environments.webshop.benchmark import WebshopBenchmark

    return WebshopBenchmark(config, data)


SPEC = BenchmarkSpec(
    name="webshop",
    title="WebShop",
    config=WebshopConfig,
    data=(WebshopGenerated, WebshopReal),
    build=_build,
    step_seconds=0.0022,
    packages=("lunr", "rapidfuzz", "regex"),
)
