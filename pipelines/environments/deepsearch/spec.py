"""What the platform knows of Deep Search."""

from __future__ import annotations

from pipelines.environments.deepsearch.config import DeepsearchConfig, DeepsearchGenerated, DeepsearchReal
from pipelines.registry import BenchmarkSpec

SPEC = BenchmarkSpec(
    name="deepsearch",
    title="Deep Search",
    config=DeepsearchConfig,
    data=(DeepsearchGenerated, DeepsearchReal),
    benchmark="pipelines.environments.deepsearch.benchmark:DeepsearchBenchmark",
    step_seconds=0.0021,
    task_types={"in_domain": "ID", "out_of_domain": "OOD", "webwalkerqa": "webwalker", "2wikimultihopqa": "2wiki"},
    packages=("tantivy", "regex"),
    cached="pipelines.environments.deepsearch.index:cached",
    tags=tuple(f"<{slash}{name}>" for name in ("search", "open", "answer", "information") for slash in ("", "/")),
)
