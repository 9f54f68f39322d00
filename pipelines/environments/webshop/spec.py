"""What the platform knows of WebShop."""

from __future__ import annotations

from pipelines.environments.webshop.config import WebshopConfig, WebshopGenerated, WebshopReal
from pipelines.registry import BenchmarkSpec

SPEC = BenchmarkSpec(
    name="webshop",
    title="WebShop",
    config=WebshopConfig,
    data=(WebshopGenerated, WebshopReal),
    benchmark="pipelines.environments.webshop.benchmark:WebshopBenchmark",
    step_seconds=0.0022,
    packages=("lunr", "rapidfuzz", "regex"),
    cached="pipelines.environments.webshop.shop:cached",
)
