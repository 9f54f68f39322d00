"""The live objects of one run — benchmark, panels, pool, policy — and each stage as an artifact of the store.

Each method finds its artifact or makes it. The policy and the pool are opened when the first stage needs them, so a run
that is done costs no model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.artifacts import Artifact, ArtifactStore, Draft, read_json, write_json, write_parquet
from pipelines.config import RunConfig, UpdateSettings
from pipelines.environments.base import Panel, Tick
from pipelines.environments.pool import EnvironmentPool
from pipelines.errors import DataError
from pipelines.protocols import Policy, SamplingSettings
from pipelines.records import ScoredTrajectory, Task
from pipelines.registry import benchmark_spec, policy_spec
from pipelines.run_info import RunInfo
from pipelines.seeds import derive_seed
from pipelines.stages import setup, tables
from pipelines.stages.advantage import advantage_metrics, score_trajectories
from pipelines.stages.analysis import PROPOSITION1, absent_tables, analyse
from pipelines.stages.evaluate import evaluate, evaluation_metrics
from pipelines.stages.results import run_info
from pipelines.stages.rollout import Rollout, roll_out, rollout_metrics
from pipelines.stages.update import learning_rate_at, update_policy
from pipelines.versions import STAGES
from pipelines.workers import usable_cores


@dataclass(frozen=True, slots=True)
class _Update:
    """What an update was made from."""

    iteration: int
    policy: Artifact
    rollout: Artifact
    advantage: Artifact


class Session:
    """One run's stages. Use as a context manager: leaving it closes the policy and the environment workers."""

    def __init__(self, config: RunConfig, store: ArtifactStore) -> None:
        self.config, self.store = config, store
        self.experiment = config.experiment
        self.benchmark = benchmark_spec(self.experiment.benchmark.name).build(
            self.experiment.benchmark, self.experiment.data
        )
        self._policy: Policy | None = None
        self._policy_state: str | None = None  # fingerprint of the artifact whose weights the policy holds
        self._updates: dict[str, _Update] = {}  # by the fingerprint of what they gave
        self._pool: EnvironmentPool | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        for resource in (self._policy, self._pool):
            if resource is not None:
                resource.close()

    # ------------------------------------------------------------ setup and warm start

    def setup(self, tick: Tick) -> Artifact:
        """Data, panels and the untrained model."""
        self.data = setup.prepare_data(
            self.store,
            self.experiment,
            self.benchmark,
            workers=self._shared_workers,
            tick=tick,
        )
        self.panels = self.benchmark.panels(self.data)
        self.panel_artifact = setup.record_panels(self.store, self.experiment, self.panels)
        self.model = setup.make_model(self.store, self.experiment, self.benchmark, self.data, self.training_panel)
        return self.panel_artifact

    @cached_property
    def training_panel(self) -> Panel:
        return self.panels["train"]

    @cached_property
    def evaluation_tasks(self) -> tuple[Task, ...]:
        split = self.experiment.benchmark.evaluation_split
        if split not in self.panels:
            raise DataError(
                f"the data has no split {split}, only {', '.join(self.panels)}: set benchmark.evaluation_split"
            )
        return setup.evaluation_tasks(self.panels[split], self.experiment.evaluation.games)

    def warm_start(self, tick: Tick) -> Artifact:
        """The policy before RL: the imitated stand-in, or the model as it is when there is no warm start."""
        settings = self.experiment.warm_start
        if settings is None:
            self.initial = self.model
            return self.model

        def make(draft: Draft) -> None:
            from pipelines.policies import codec
            from pipelines.stages.warm_start import warm_start

            metrics = warm_start(
                self.model.tree("model"),
                draft.folder / "model",
                self.benchmark,
                self.training_panel,
                self.data,
                codec(self.model.tree("model")),
                settings,
                context_length=self.experiment.model.stand_in.context_length,
                workers=self._shared_workers,
                on_progress=lambda done, total: tick(done / total),
            )
            write_json(draft.path("metrics.json"), metrics)

        values = {"warm_start": settings.values(), "benchmark": self._playing_values()}
        inputs = {"model": self.model.fingerprint, "train": self.training_panel.sha256}
        self.initial = self.store.get_or_make("warm_start", STAGES["warm_start"], values, inputs, make)
        return self.initial

    @property
    def _shared_workers(self) -> int:
        """For what is made once while the launch's other runs wait for it: every core."""
        return max(self.config.execution.environment_workers, usable_cores())

    # ------------------------------------------------------------ one iteration

    def rollout(self, iteration: int, policy: Artifact, tick: Tick) -> Artifact:
        experiment, training = self.experiment, self.experiment.training

        def make(draft: Draft) -> None:
            rollout = roll_out(
                self.policy_at(policy),
                self.pool,
                self.benchmark,
                self.training_panel,
                training=training,
                algorithm=experiment.algorithm,
                sampling=self.sampling(experiment.rollout.temperature),
                seed=experiment.seed,
                iteration=iteration,
                on_step=_steps_as_fraction(tick, training.tasks * training.group_size * self.benchmark.max_steps),
            )
            write_parquet(draft.path("steps.parquet"), tables.steps_table(rollout.trajectories))
            write_parquet(draft.path("trajectories.parquet"), tables.trajectories_table(rollout))
            write_json(draft.path("metrics.json"), rollout_metrics(rollout, training.tasks))

        sampling: dict[str, bool | int] = {"dynamic_sampling": experiment.algorithm.dynamic_sampling}
        if experiment.algorithm.dynamic_sampling:
            sampling["max_generation_batches"] = experiment.algorithm.max_generation_batches
        values = {
            "iteration": iteration,
            "seed": experiment.seed,
            "tasks": training.tasks,
            "group_size": training.group_size,
            "sampling": sampling,
            "rollout": experiment.rollout.values(),
            **self._acting_values(),
        }
        inputs = {"policy": policy.fingerprint, "train": self.training_panel.sha256}
        return self.store.get_or_make("rollout", STAGES["rollout"], values, inputs, make)

    def advantage(self, rollout: Artifact) -> Artifact:
        experiment = self.experiment

        def make(draft: Draft) -> None:
            batch = self.read_rollout(rollout).batch()
            scored = score_trajectories(batch, experiment.algorithm.estimator.make(), experiment.empg.make())
            declared = [column.name for column in experiment.credit_columns]
            write_parquet(draft.path("advantages.parquet"), tables.advantages_table(scored, declared))
            write_json(draft.path("metrics.json"), advantage_metrics(scored))

        values = {
            "estimator": experiment.algorithm.estimator.values(),
            "empg": experiment.empg.values(),
        }
        return self.store.get_or_make("advantage", STAGES["advantage"], values, {"rollout": rollout.fingerprint}, make)

    def update(self, iteration: int, policy: Artifact, rollout: Artifact, advantage: Artifact) -> Artifact:
        update = _Update(iteration, policy, rollout, advantage)

        def make(draft: Draft) -> None:
            metrics = self._apply(update)
            self.policy.learner.save(draft.folder)
            write_json(draft.path("metrics.json"), metrics)

        values = {
            "settings": self._update_settings(iteration).values(),
            "seed": self.experiment.seed,
            "iteration": iteration,
            **self._policy_values(),
        }
        inputs = {
            "policy": policy.fingerprint,
            "rollout": rollout.fingerprint,
            "advantage": advantage.fingerprint,
            "reference": self.initial.fingerprint,
        }
        updated = self.store.get_or_make("update", STAGES["update"], values, inputs, make)
        self._updates[updated.fingerprint] = update
        if self._policy is not None and self._policy_state is None:
            self._policy_state = updated.fingerprint
        return updated

    def _update_settings(self, iteration: int) -> UpdateSettings:
        return learning_rate_at(self.experiment.update_settings(), iteration, self.experiment.training.iterations)

    def _apply(self, update: _Update) -> dict[str, float]:
        """Train the live policy; returns the metrics."""
        scored = self.read_scored(update.rollout, update.advantage)
        policy = self.policy_at(update.policy)
        self._policy_state = None  # half updated: nobody may take it for a state until it is whole
        settings = self._update_settings(update.iteration)
        seed = derive_seed(self.experiment.seed, "update", update.iteration)
        return update_policy(policy.learner, scored, settings, seed=seed)

    def evaluate(self, policy: Artifact, tick: Tick) -> Artifact:
        experiment, settings = self.experiment, self.experiment.evaluation

        def make(draft: Draft) -> None:
            rows = evaluate(
                self.policy_at(policy).sampler,
                self.pool,
                self.benchmark,
                self.evaluation_tasks,
                sampling=self.sampling(settings.temperature),
                seed=experiment.seed,
                on_step=_steps_as_fraction(tick, len(self.evaluation_tasks) * self.benchmark.max_steps),
            )
            write_parquet(draft.path("evaluations.parquet"), tables.evaluations_table(rows))
            write_json(draft.path("metrics.json"), evaluation_metrics(rows, experiment.data.averages))

        values = {
            "seed": experiment.seed,
            **({"averages": averages} if (averages := experiment.data.averages) else {}),
            "temperature": settings.temperature,
            "max_action_tokens": experiment.rollout.max_action_tokens,
            "max_context_tokens": experiment.rollout.max_context_tokens,
            **self._acting_values(),
        }
        inputs = {"policy": policy.fingerprint, "panel": setup.panel_hash(self.evaluation_tasks)}
        return self.store.get_or_make("evaluate", STAGES["evaluate"], values, inputs, make)

    def analysis(self, policy: Artifact, batches: Mapping[int, tuple[Artifact, Artifact]]) -> Artifact:
        """``policy``: the trained one; ``batches``: rollout and advantages of the first iteration and of the last."""
        experiment = self.experiment
        first, _ = batches[0]

        def make(draft: Draft) -> None:
            played = self.read_rollout(first).trajectories
            scored = {i: self.read_scored(*batch) for i, batch in batches.items()}
            models = {}
            if PROPOSITION1 not in absent_tables(experiment):
                models = {"initial": self.initial.tree("model"), "final": policy.tree("model")}
            for name, table in analyse(experiment, self.policy_at(policy), played, scored, models).items():
                write_parquet(draft.path(name), table)

        values = {"seed": experiment.seed, "temperature": experiment.rollout.temperature, **self._policy_values()}
        inputs = {"initial": self.initial.fingerprint, "policy": policy.fingerprint}
        for i, (rollout, advantage) in batches.items():
            inputs |= {f"rollout {i}": rollout.fingerprint, f"advantage {i}": advantage.fingerprint}
        return self.store.get_or_make("analysis", STAGES["analysis"], values, inputs, make)

    # ------------------------------------------------------------ what the stages share

    def policy_at(self, artifact: Artifact) -> Policy:
        """The policy with the artifact's weights: as it is, loaded from the checkpoint, or freshly built. A checkpoint
        whose weights were retired is made again, bit for bit, from the last one that is there: updates are cheap beside
        the rollouts, which are kept."""
        replay = []
        while self._policy_state != artifact.fingerprint and self._is_retired(artifact):
            replay.append(artifact)
            artifact = self._updates[artifact.fingerprint].policy
        if self._policy_state != artifact.fingerprint:
            self._load(artifact)
        for target in reversed(replay):
            self._apply(self._updates[target.fingerprint])
            self._policy_state = target.fingerprint
        return self.policy

    @property
    def policy(self) -> Policy:
        """The live policy, whatever its weights are."""
        assert self._policy is not None
        return self._policy

    def _is_retired(self, artifact: Artifact) -> bool:
        return artifact.fingerprint in self._updates and bool(artifact.lacks())

    def _load(self, artifact: Artifact) -> None:
        if self._policy is None or artifact.fingerprint == self.initial.fingerprint:
            if self._policy is not None:
                self._policy.close()
            self._policy = policy_spec(self.experiment.policy.name).build(self.experiment, self.initial.tree("model"))
        if artifact.fingerprint != self.initial.fingerprint:
            self._policy.learner.load(artifact.tree())
        self._policy_state = artifact.fingerprint

    @property
    def pool(self) -> EnvironmentPool:
        if self._pool is None:
            workers, attempts = self.config.execution.environment_workers, self.experiment.rollout.environment_attempts
            self._pool = EnvironmentPool(self.benchmark, self.data, workers=workers, attempts=attempts)
        return self._pool

    def sampling(self, temperature: float) -> SamplingSettings:
        rollout = self.experiment.rollout
        return SamplingSettings(temperature, rollout.max_action_tokens, rollout.max_context_tokens)

    def read_rollout(self, artifact: Artifact) -> Rollout:
        trajectories = pq.read_table(artifact.path("trajectories.parquet"))
        batches = int(read_json(artifact.path("metrics.json"))["rollout/generation_batches"])
        return tables.read_rollout(trajectories, pq.read_table(artifact.path("steps.parquet")), batches)

    def read_scored(self, rollout: Artifact, advantage: Artifact) -> list[ScoredTrajectory]:
        batch = self.read_rollout(rollout).batch()
        return tables.read_scored(pq.read_table(advantage.path("advantages.parquet")), batch)

    def retire(self, policy: Artifact) -> None:
        """A later checkpoint is safe: this one's weights may go; its record and metrics stay."""
        if policy.stage == "update":
            self.store.prune(policy)

    def model_folder(self, policy: Artifact) -> Path | None:
        """None: the model is the pretrained one as it was."""
        untouched = self.experiment.model.weights == "pretrained" and policy is self.model
        return None if untouched else policy.folder / "model"

    def measurements(self) -> dict[str, float]:
        """What the live policy's engines measured since last asked; nothing where no stage needed it."""
        return self._policy.measurements() if self._policy is not None else {}

    def metrics(self, artifact: Artifact) -> dict[str, float]:
        values: dict[str, float] = read_json(artifact.path("metrics.json"))
        return values

    def evaluation_table(self, artifact: Artifact) -> pa.Table:
        return pq.read_table(artifact.path("evaluations.parquet"))

    def info(self) -> RunInfo:
        """What identifies the run in every log and table; ``results/run.json``."""
        return run_info(self.experiment, self.evaluation_tasks, self.benchmark.remarks)

    def _policy_values(self) -> dict[str, Any]:
        return {"policy": self.experiment.policy.values()}

    def _playing_values(self) -> dict[str, Any]:
        """The benchmark's settings but for what only evaluation reads: another split is no other warm start."""
        return self.experiment.benchmark.model_dump(mode="json", exclude={"evaluation_split"})

    def _acting_values(self) -> dict[str, Any]:
        return {"benchmark": self._playing_values(), **self._policy_values()}


def _steps_as_fraction(tick: Tick, most: int) -> Callable[[], None]:
    """Report progress as steps are played; ``most`` is the upper bound when no episode ends early."""
    played = 0

    def on_step() -> None:
        nonlocal played
        played += 1
        if played % 64 == 0:
            tick(min(played / most, 1.0))

    return on_step
