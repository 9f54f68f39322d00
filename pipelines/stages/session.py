"""The resources of a run: the store, the benchmark, the environment workers, the policy. It knows no configuration: each
resource is opened by what a stage's view says of it, and closed when another is asked for."""

from __future__ import annotations

from pathlib import Path

from pipelines import registry
from pipelines.artifacts import Artifact, ArtifactStore
from pipelines.config.views import PlayingView, PolicyView
from pipelines.environments.base import Benchmark
from pipelines.environments.pool import EnvironmentPool
from pipelines.stages.live_policy import LivePolicy
from pipelines.workers import usable_cores


class Session:
    """Use it as a context manager: leaving it closes what it opened. ``workers``: processes that play environments."""

    def __init__(self, store: ArtifactStore, workers: int) -> None:
        self.store, self.workers = store, workers
        # What is made once, while the launch's other runs wait for it, takes every core.
        self.shared_workers = max(workers, usable_cores())
        self._benchmark: tuple[PlayingView, Benchmark] | None = None
        self._pool: tuple[tuple[PlayingView, Path], EnvironmentPool] | None = None
        self._policy: tuple[tuple[PolicyView, str], LivePolicy] | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        for held in (self._policy, self._pool):
            if held is not None:
                held[1].close()

    def benchmark(self, view: PlayingView) -> Benchmark:
        if self._benchmark is None or self._benchmark[0] != view:
            self._benchmark = view, registry.benchmark_spec(view.benchmark.name).build(view.benchmark, view.data)
        return self._benchmark[1]

    def pool(self, view: PlayingView, data: Path) -> EnvironmentPool:
        """``data``: the folder of the benchmark's data."""
        if self._pool is None or self._pool[0] != (view, data):
            if self._pool is not None:
                self._pool[1].close()
            pool = EnvironmentPool(self.benchmark(view), data, workers=self.workers, attempts=view.attempts)
            self._pool = (view, data), pool
        return self._pool[1]

    def policy(self, view: PolicyView, initial: Artifact) -> LivePolicy:
        """``initial``: the artifact that the run starts from."""
        key = view, initial.fingerprint
        if self._policy is None or self._policy[0] != key:
            if self._policy is not None:
                self._policy[1].close()
            self._policy = key, LivePolicy(view, initial)
        return self._policy[1]

    def measurements(self) -> dict[str, float]:
        """What the policy's engines measured since last asked."""
        return self._policy[1].measurements() if self._policy is not None else {}
