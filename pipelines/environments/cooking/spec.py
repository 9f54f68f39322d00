"""What the platform knows of the cooking games."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.environments.cooking.config import CookingConfig, CookingGenerated, CookingReal
from pipelines.registry import BenchmarkSpec

if TYPE_CHECKING:
    from pipelines.environments.base import Benchmark


def _build(config: CookingConfig, data: CookingGenerated | CookingReal) -> Benchmark:
    from pipelines.environments.cooking.benchmark import CookingBenchmark

    return CookingBenchmark(config, data)


SPEC = BenchmarkSpec(
    name="cooking",
    title="Cooking",
    config=CookingConfig,
    data=(CookingGenerated, CookingReal),
    build=_build,
    step_seconds=0.007,
    task_types={"fetch": "fetch", "cut": "cut", "cook": "cook", "cook_cut": "both"},
    packages=("textworld", "jericho"),
)
