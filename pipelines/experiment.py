"""The loop, once: setup → warm start → [rollout → advantage → update] × iterations, evaluate every n → analysis → results.

Every stage is an artifact: found by its identity or made. A run killed at any instant and started again finds what is done,
loads the last checkpoint and goes on with the same bits. Nothing here knows Prefect, Hydra or a tracker: an ``Observer``
hears what happens and may wrap the stages, and never feeds anything back. Heavy to import: it brings torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.artifacts import Artifact, ArtifactStore, full_disk_is_readable
from pipelines.config import ExperimentConfig, RunConfig
from pipelines.config.views import (
    COMMON_PACKAGES,
    AdvantageView,
    AnalysisView,
    DataView,
    EvaluationView,
    ModelCheckView,
    PanelView,
    PlayingView,
    PolicyView,
    PretrainedView,
    RolloutView,
    ScheduleView,
    StandInView,
    UpdateView,
    WarmStartView,
    package_versions,
)
from pipelines.cpu import kind_of_machine
from pipelines.environments.base import Tick
from pipelines.progress import ROLLOUT, Progress, Work
from pipelines.records import Task
from pipelines.run_folder import is_finished, run_folder, run_lock, write_params
from pipelines.run_info import RunInfo
from pipelines.schemas import EVALUATIONS
from pipelines.stages import stored
from pipelines.stages.analysis import TABLES, absent_tables
from pipelines.stages.reading import read_metrics
from pipelines.stages.results import machines_of, run_info, write_results
from pipelines.stages.session import Session
from pipelines.stages.setup import chat_remarks, evaluation_tasks
from pipelines.stages.stored import Evaluated, Weights, World

T = TypeVar("T")

__all__ = ["Observer", "evaluate_model", "is_finished", "run_experiment", "run_folder"]


class Observer(Protocol):
    """It hears what happens: a log, never an input."""

    def run_started(self, info: RunInfo) -> None: ...

    def stage(self, name: str, iteration: int | None, work: Callable[[], T], *, retries: int = 0) -> T:
        """Run ``work`` (once, or again after an OSError up to ``retries`` times) and return its result."""
        ...

    def metrics(self, iteration: int, values: Mapping[str, float]) -> None: ...

    def evaluation(self, iteration: int, table: pa.Table) -> None: ...

    def preparing(self, what: str, fraction: float) -> None:
        """``fraction`` is done of what is made once for many runs: no part of this run's own progress."""
        ...

    def progress(self, work: Work, text: str) -> None: ...

    def run_finished(self, results: Path, model: Path | None) -> None: ...


def run_experiment(config: RunConfig, observer: Observer) -> Path:
    """Run, resume, or find finished. Returns ``runs/<cell>-<settings>/seed<k>`` with ``results/`` complete.

    Raises:
        ConfigError: no policy here can run this configuration, it does not fit, or its GPUs are elsewhere.
        RunLocked: the same run is alive in another process.
        PlatformError: any user-facing failure; what was finished stays finished.
    """
    config.experiment.check_runnable()
    config.experiment.check_fits()
    config.experiment.check_machine()
    folder = run_folder(config)
    with full_disk_is_readable(folder), run_lock(folder):
        if is_finished(config):
            return folder
        write_params(folder, config)
        with _session(config) as session:
            _Loop(config.experiment, session, observer).run(folder, config.command)
    return folder


def evaluate_model(config: RunConfig, tick: Callable[[str, float], None]) -> tuple[Evaluated, RunInfo]:
    """Play the panel with the policy that a run would start from, and train nothing. Returns the evaluation's artifacts and
    what identifies it. ``tick`` hears what is being done, and the fraction of it that is done."""
    experiment = config.experiment
    with full_disk_is_readable(config.execution.artifacts), _session(config) as session:
        world, model = _set_up(session, experiment, lambda done: tick("making the data", done))
        initial = _warm_start(session, experiment, world, model, lambda done: tick("warm start", done))
        tasks = evaluation_tasks(PanelView.of(experiment), world.panels)
        view, weights = EvaluationView.of(experiment), Weights(initial, initial)

        def playing(done: float) -> None:
            tick("playing", done)

        played = stored.evaluation(session, view, world, tasks, weights, playing, found=playing)
        return played, run_info(experiment, tasks, world.remarks, config.command)


def _session(config: RunConfig) -> Session:
    experiment = config.experiment
    machine = kind_of_machine(gpus=experiment.policy.takes_gpus(experiment))
    store = ArtifactStore(config.execution.artifacts, package_versions(COMMON_PACKAGES), machine)
    return Session(store, config.execution.environment_workers)


def _set_up(session: Session, experiment: ExperimentConfig, tick: Tick) -> tuple[World, Artifact]:
    """The data with its panels, and the model before any training."""
    playing, remarks, model = PlayingView.of(experiment), tuple[str, ...](), None
    if experiment.model.weights == "pretrained":  # first: what is wrong with a folder is said before any work
        folder = PretrainedView.of(experiment)
        model = stored.pretrained(session, folder) if folder.template else None  # then its chat is the chosen one
        remarks = chat_remarks(model.tree("model") if model else folder.folder, playing)
        model = model or stored.pretrained(session, folder)
        stored.model_check(session, ModelCheckView.of(experiment), model)
    benchmark = session.benchmark(playing)
    data = stored.data(session, DataView.of(experiment), tick).folder
    panels = benchmark.panels(data)
    examples = benchmark.worked_examples(panels["train"], data)
    world = World(data, panels, (*benchmark.remarks, *remarks), examples)
    stored.panels(session, DataView.of(experiment), world.panels)
    return world, model or stored.stand_in(session, StandInView.of(experiment), world)


def _warm_start(session: Session, experiment: ExperimentConfig, world: World, model: Artifact, tick: Tick) -> Artifact:
    """The policy before RL: the imitated stand-in, or the model as it is when there is no warm start."""
    view = WarmStartView.of(experiment)
    return model if view is None else stored.warm_start(session, view, world, model, tick)


class _Loop:
    """The stages of one run in their order. ``made``: their artifacts by stage and iteration, for the results."""

    def __init__(self, experiment: ExperimentConfig, session: Session, observer: Observer) -> None:
        self.experiment, self.session, self.observer = experiment, session, observer
        self.schedule = ScheduleView.of(experiment)
        self.made: dict[tuple[str, int], Artifact] = {}
        self.progress = Progress(experiment)
        self.success = ""  # of the last rollout, as it is shown

    def run(self, folder: Path, command: str) -> None:
        session, experiment, observer = self.session, self.experiment, self.observer
        world, model = self._stage(
            "setup", None, lambda: _set_up(session, experiment, self._preparing("making the data"))
        )
        tasks = evaluation_tasks(PanelView.of(experiment), world.panels)
        info = run_info(experiment, tasks, world.remarks, command)
        observer.run_started(info)
        initial = self._stage(
            "warm_start", None, lambda: _warm_start(session, experiment, world, model, self._preparing("warm start"))
        )
        weights = Weights(initial, initial)
        for i in range(self.schedule.iterations):
            self._evaluate(i, world, tasks, weights)
            weights = self._iteration(i, world, weights)
        self._evaluate(self.schedule.iterations, world, tasks, weights)
        weights = stored.last_policy(session, PolicyView.of(experiment), weights)
        final = weights.current
        analysis = self._analysis(weights)
        made_on = machines_of([initial, *self.made.values(), final, *([analysis] if analysis else [])])
        checkpoint = final.folder.relative_to(session.store.root).as_posix()
        info = info.model_copy(update={"checkpoint": checkpoint, "machines": made_on})
        results = write_results(folder, info, self.made, analysis)
        untouched = experiment.model.weights == "pretrained" and final is model
        trained = final.folder / ("model" if (final.folder / "model").is_dir() else "adapter")
        observer.run_finished(results, None if untouched else trained)

    def _iteration(self, i: int, world: World, weights: Weights) -> Weights:
        """One iteration; returns the weights after it."""
        session, views, seconds = self.session, self.experiment, dict[str, float]()
        rollout = self._stage("rollout", i, lambda: stored.rollout(
            session, RolloutView.of(views, i), world, weights, self._tick("rollout", ROLLOUT)), ROLLOUT, seconds)  # fmt: skip
        advantage = self._stage("advantage", i, lambda: stored.advantage(
            session, AdvantageView.of(views), rollout), 0.0, seconds)  # fmt: skip
        updated = self._stage("update", i, lambda: stored.update(
            session, UpdateView.of(views, i), weights, rollout, advantage), 1.0 - ROLLOUT, seconds)  # fmt: skip
        if weights.current.stage == "update":  # A later checkpoint is safe: this one's weights may go.
            session.store.prune(weights.current)
        self.made |= {("rollout", i): rollout, ("advantage", i): advantage, ("update", i): updated}
        values = {k: v for artifact in (rollout, advantage, updated) for k, v in read_metrics(artifact).items()}
        self.observer.metrics(i + 1, values | session.measurements() | {f"seconds/{k}": v for k, v in seconds.items()})
        self.success = f", success {values.get('rollout/success', float('nan')):.2f}"
        return Weights(updated, weights.initial)

    def _evaluate(self, i: int, world: World, tasks: tuple[Task, ...], weights: Weights) -> None:
        """Before the first iteration, after every ``every``-th and after the last."""
        if i % self.schedule.every and i != self.schedule.iterations:
            return
        view, share = EvaluationView.of(self.experiment), self.progress.evaluation
        tick, found = self._tick("evaluate", share), self._tick("evaluate", share, found=True)
        played = self._stage("evaluate", i, lambda: stored.evaluation(
            self.session, view, world, tasks, weights, tick, found=found).whole, share)  # fmt: skip
        self.made["evaluate", i] = played
        self.observer.evaluation(i, pq.read_table(played.path(EVALUATIONS.file)))
        self.observer.metrics(i, read_metrics(played))

    def _analysis(self, weights: Weights) -> Artifact | None:
        """None: this configuration rules out all of it."""
        view, last = AnalysisView.of(self.experiment), self.schedule.iterations - 1
        if absent_tables(view).keys() >= set(TABLES):
            return None
        batches = {i: (self.made["rollout", i], self.made["advantage", i]) for i in (0, last)}
        return self._stage("analysis", None, lambda: stored.analysis(self.session, view, weights, batches))

    def _stage(
        self,
        name: str,
        i: int | None,
        work: Callable[[], T],
        share: float = 0.0,
        seconds: dict[str, float] | None = None,
    ) -> T:
        """``share``: of an iteration's time."""
        start, made = time.perf_counter(), self.session.store.made
        if share or name == "analysis":
            self._tell(name)
        result = self.observer.stage(name, i, work, retries=1 if name in ("rollout", "evaluate") else 0)
        if seconds is not None:
            seconds[name] = time.perf_counter() - start
        self.progress.after(share, found=self.session.store.made == made)
        if share:
            self._tell(name)
        return result

    def _tell(self, name: str) -> None:
        self.observer.progress(self.progress.work, f"{name}{self.success}")

    def _preparing(self, what: str) -> Tick:
        return lambda fraction: self.observer.preparing(what, fraction)

    def _tick(self, name: str, share: float, *, found: bool = False) -> Tick:
        """Progress inside a stage, of which ``fraction`` is done; the last of it was ``found``."""

        def tick(fraction: float) -> None:
            self.progress.inside(share * fraction, found=found)
            self._tell(name)

        return tick
