"""What the platform knows of Deep Search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.environments.deepsearch.config import DeepsearchConfig, DeepsearchGenerated, DeepsearchReal
from pipelines.registry import BenchmarkSpec

if TYPE_CHECKING:
    from pipelines.environments.base import Benchmark


def _build(config: DeepsearchConfig, data: DeepsearchGenerated | DeepsearchReal) -> Benchmark:
    from pipelines.environments.deepsearch.benchmark import DeepsearchBenchmark

    return DeepsearchBenchmark(config, data)


SPEC = BenchmarkSpec(
    name="deepsearch",
    title="Deep Search",
    config=DeepsearchConfig,
    data=(DeepsearchGenerated, DeepsearchReal),
    build=_build,
    step_seconds=0.0021,
    task_types={"in_domain": "ID", "out_of_domain": "OOD", "webwalkerqa": "webwalker", "2wikimultihopqa": "2wiki"},
    packages=("tantivy", "regex"),
    tags=tuple(f"<{slash}{name}>" for name in ("search", "open", "answer", "information") for slash in ("", "/")),
)
