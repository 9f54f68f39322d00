"""The loop, once: setup → warm start → [rollout → advantage → update] × iterations, evaluate every n → analysis → results.

Every stage is an artifact: found by its fingerprint or made. A run killed at any instant and started again finds what
is done, loads the last checkpoint and goes on with the same bits. Nothing here knows Prefect, Hydra or MLflow: an
``Observer`` is told what happens and may wrap the stages, and never feeds anything back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pipelines.artifacts import Artifact, ArtifactStore, full_disk_is_readable
from pipelines.config import RunConfig
from pipelines.planning.readiness import check_fits, check_machine
from pipelines.run_folder import is_finished, run_folder, run_lock, write_params

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.stages.session import Session

T = TypeVar("T")
_ROLLOUT = 0.6  # of an iteration's time

__all__ = ["Observer", "is_finished", "run_experiment", "run_folder"]


class Observer(Protocol):
    """Told what happens; a log, never an input."""

    def run_started(self, info: Mapping[str, Any]) -> None: ...

    def stage(self, name: str, iteration: int | None, work: Callable[[], T], *, retries: int = 0) -> T:
        """Run ``work`` (once, or again after an OSError up to ``retries`` times) and return its result."""
        ...

    def metrics(self, iteration: int, values: Mapping[str, float]) -> None: ...

    def evaluation(self, iteration: int, table: pa.Table) -> None: ...

    def preparing(self, what: str, fraction: float) -> None:
        """``fraction`` is done of what is made once for many runs: no part of this run's own progress."""
        ...

    def progress(self, done: float, total: float, text: str) -> None:
        """``done`` of ``total`` units of estimated work (an iteration is one unit)."""
        ...

    def run_finished(self, results: Path, model: Path | None) -> None: ...


def run_experiment(config: RunConfig, observer: Observer) -> Path:
    """Run, resume, or find finished. Returns ``runs/<cell>-<settings>/seed<k>`` with ``results/`` complete.

    Raises:
        ConfigError: no policy here can run this configuration, it does not fit, or its GPUs are elsewhere.
        RunLocked: the same run is alive in another process.
        PlatformError: any user-facing failure; what was finished stays finished.
    """
    config.experiment.check_runnable()
    check_fits(config.experiment)
    check_machine(config.experiment)
    folder = run_folder(config)
    with full_disk_is_readable(folder), run_lock(folder):
        if is_finished(config):
            return folder
        write_params(folder, config)
        from pipelines.stages.session import Session
        from pipelines.stages.setup import versions

        with Session(
            config, ArtifactStore(config.execution.artifacts, versions(config.experiment.benchmark.name))
        ) as session:
            _Loop(session, observer).run(folder)
    return folder


class _Loop:
    """The order of the stages, and the bookkeeping of one run."""

    def __init__(self, session: Session, observer: Observer) -> None:
        self.session, self.observer = session, observer
        self.experiment = session.config.experiment
        self.iterations = self.experiment.training.iterations
        self.artifacts: list[tuple[str, int, Artifact]] = []
        self.done = 0.0  # iterations, as the observer was told last

    def run(self, folder: Path) -> None:
        from pipelines.stages.results import write_results

        session, observer = self.session, self.observer
        self._stage("setup", None, lambda: session.setup(lambda done: observer.preparing("making the data", done)))
        observer.run_started(session.info().values())
        policy = self._stage(
            "warm_start", None, lambda: session.warm_start(lambda done: observer.preparing("warm start", done))
        )
        for iteration in range(self.iterations):
            self._evaluate(iteration, policy)
            policy = self._iteration(iteration, policy)
        self._evaluate(self.iterations, policy)
        checkpoint = policy.folder.relative_to(session.store.root).as_posix()
        info = session.info().model_copy(update={"checkpoint": checkpoint})
        results = write_results(folder, info, self.artifacts, self._analysis(policy))
        observer.run_finished(results, session.model_folder(policy))

    def _iteration(self, i: int, policy: Artifact) -> Artifact:
        """One iteration; returns the artifact of the updated policy."""
        session, seconds = self.session, dict[str, float]()
        rollout = self._stage(
            "rollout", i, lambda: session.rollout(i, policy, self._tick("rollout", i, share=_ROLLOUT)), seconds
        )
        advantage = self._stage("advantage", i, lambda: session.advantage(rollout), seconds)
        updated = self._stage("update", i, lambda: session.update(i, policy, rollout, advantage), seconds)
        session.retire(policy)
        self.artifacts += [("rollout", i, rollout), ("advantage", i, advantage), ("update", i, updated)]
        values = {k: v for a in (rollout, advantage, updated) for k, v in session.metrics(a).items()}
        self.observer.metrics(i + 1, values | session.measurements() | {f"seconds/{k}": v for k, v in seconds.items()})
        self._progress(i + 1.0, f"success {values.get('rollout/success', float('nan')):.2f}")
        return updated

    def _evaluate(self, i: int, policy: Artifact) -> None:
        """Before the first iteration, after every ``evaluation.every``-th and after the last."""
        if i % self.experiment.evaluation.every and i != self.iterations:
            return
        session = self.session
        evaluation = self._stage("evaluate", i, lambda: session.evaluate(policy, self._tick("evaluate", i, share=0.0)))
        self.artifacts.append(("evaluate", i, evaluation))
        self.observer.evaluation(i, session.evaluation_table(evaluation))
        self.observer.metrics(i, session.metrics(evaluation))

    def _analysis(self, policy: Artifact) -> Artifact | None:
        """None: this configuration rules out all of it."""
        from pipelines.stages.analysis import TABLES, absent_tables

        if absent_tables(self.experiment).keys() >= set(TABLES):
            return None
        made = {(stage, i): artifact for stage, i, artifact in self.artifacts}
        batches = {i: (made["rollout", i], made["advantage", i]) for i in (0, self.iterations - 1)}
        return self._stage("analysis", None, lambda: self.session.analysis(policy, batches))

    def _stage(
        self, name: str, i: int | None, work: Callable[[], Artifact], seconds: dict[str, float] | None = None
    ) -> Artifact:
        start = time.perf_counter()
        artifact = self.observer.stage(name, i, work, retries=1 if name in ("rollout", "evaluate") else 0)
        if seconds is not None:
            seconds[name] = time.perf_counter() - start
        return artifact

    def _tick(self, text: str, i: int, *, share: float) -> Callable[[float], None]:
        """Progress inside a stage, of which ``fraction`` is done. ``share``: what the whole stage is of an iteration; an
        evaluation is no part of one."""
        return lambda fraction: self._progress(i + share * fraction, text)

    def _progress(self, done: float, text: str) -> None:
        """Never backwards: a stage that is tried again begins anew, and the run does not."""
        self.done = max(self.done, done)
        self.observer.progress(self.done, self.iterations, text)
