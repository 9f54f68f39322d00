"""What each stage may read of the configuration: a frozen view, whose values are the stage's identity.

A stage is given its view and its input artifacts, and nothing else of the configuration. So whatever bears on its result is
part of its identity by construction: what a view leaves out, the stage cannot see.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, Field, SerializeAsAny

from empg.credit import Column, declared_columns
from pipelines import registry
from pipelines.config.credit import CreditConfig, EstimatorSettings, ModulatorSettings
from pipelines.config.experiment import ExperimentConfig
from pipelines.config.learning import LoraSettings, StandIn, StandInWarmStart, UpdateSettings, WarmStartConfig
from pipelines.records import SamplingSettings
from pipelines.sections import BenchmarkSection, DataSection, PolicySection, Section

# These packages bear on every artifact. A benchmark's and a policy's own packages stand in the views that use them.
COMMON_PACKAGES = ("torch", "transformers", "numpy")

# The leaves of ``ExperimentConfig`` that no view holds. Each has the reason why it never bears on a stage's result.
NEVER_BEARS = {
    "scale": "a name: what a scale sets stands in the other values",
    "model.name": "a name: the model is its shape, or the contents of its files",
    "model.weights": "chooses between two views, which differ in all their values",
    "model.pretrained": "a path: the identity is the contents of the model's files",
    "model.template": "a name or path: the identity is the template's text, one of the model's files",
    "algorithm.name": "a name: the algorithm is its settings",
}


def never_bears(experiment: ExperimentConfig) -> dict[str, str]:
    """Every leaf that no stage's identity depends on, by its dotted path, with the reason: those above, and the fields that a
    section declares with ``sections.never_bears``."""
    return NEVER_BEARS | dict(_declared(experiment, ""))


def _declared(section: BaseModel, path: str, why: str | None = None) -> Iterator[tuple[str, str]]:
    for name, field in type(section).model_fields.items():
        value, reason = getattr(section, name), field.description if field.exclude else why
        if isinstance(value, BaseModel):
            yield from _declared(value, f"{path}{name}.", reason)
        elif reason is not None:
            yield f"{path}{name}", reason


@cache
def package_versions(packages: tuple[str, ...]) -> dict[str, str]:
    """The installed version of each package, by its name; a package that is not installed is left out."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def run_versions(experiment: ExperimentConfig) -> dict[str, str]:
    """The versions of all packages that bear on a run."""
    policy = package_versions(registry.policy_spec(experiment.policy.name).packages)
    return package_versions(COMMON_PACKAGES) | DataView.of(experiment).packages | policy


def _longest(experiment: ExperimentConfig) -> int | None:
    """Tokens of the longest sequence that the rollout's settings allow; None: they allow any."""
    rollout = experiment.rollout
    return None if rollout.max_context_tokens is None else rollout.max_context_tokens + rollout.max_action_tokens


class View(Section):
    """Base of all views. ``values()`` is the identity of the stage that owns the view."""


class DataView(View):
    """The data of a benchmark. Its other settings are not here: they make no other data."""

    benchmark: str
    data: SerializeAsAny[DataSection]
    packages: dict[str, str]

    @classmethod
    def of(cls, experiment: ExperimentConfig) -> DataView:
        name = experiment.benchmark.name
        packages = package_versions(registry.benchmark_spec(name).packages)
        return cls(benchmark=name, data=experiment.data, packages=packages)


class PlayingView(View):
    """What an episode's course depends on besides the policy. ``benchmark`` has the evaluation's split at its default:
    an episode does not know which panel it belongs to. ``attempts``: how often an environment that fails is started."""

    benchmark: SerializeAsAny[BenchmarkSection]
    data: SerializeAsAny[DataSection]
    packages: dict[str, str]
    attempts: int

    @classmethod
    def of(cls, experiment: ExperimentConfig) -> PlayingView:
        return cls(
            benchmark=experiment.benchmark.without_split(),
            data=experiment.data,
            packages=DataView.of(experiment).packages,
            attempts=experiment.rollout.environment_attempts,
        )


class StandInView(View):
    """An untrained stand-in; its vocabulary is made from the texts of the benchmark. ``tags``: markup that is one token.
    ``seed``: the warm start's, so that each one begins with random weights of its own."""

    stand_in: StandIn
    tags: tuple[str, ...]
    playing: PlayingView
    seed: int

    @classmethod
    def of(cls, experiment: ExperimentConfig) -> StandInView:
        tags = registry.benchmark_spec(experiment.benchmark.name).tags
        seed = experiment.warm_start.seed if experiment.warm_start is not None else 0
        return cls(stand_in=experiment.model.stand_in, tags=tags, playing=PlayingView.of(experiment), seed=seed)


class PretrainedView(View):
    """A model folder that is there. Where it lies is no value: the contents of its files are the stage's input. ``template``: takes
    the place of the folder's chat templates, and is one of these contents."""

    folder: Path = Field(exclude=True)
    template: str | None = Field(exclude=True)

    @classmethod
    def of(cls, experiment: ExperimentConfig) -> PretrainedView:
        return cls(folder=Path(experiment.model.pretrained), template=experiment.model.template)


class ModelCheckView(View):
    """Whether a policy computes a pretrained model as what it is."""

    policy: SerializeAsAny[PolicySection]
    packages: dict[str, str]

    @classmethod
    def of(cls, experiment: ExperimentConfig) -> ModelCheckView:
        own = registry.policy_spec(experiment.policy.name).packages
        return cls(policy=experiment.policy, packages=package_versions((*COMMON_PACKAGES, *own)))


class WarmStartView(View):
    """Imitation of the expert. ``context_length`` (tokens): longer demonstrations are left out; None: only the pretrained
    model bounds them."""

    settings: WarmStartConfig
    context_length: int | None
    playing: PlayingView

    @classmethod
    def of(cls, experiment: ExperimentConfig) -> WarmStartView | None:
        """None: the run has no warm start."""
        settings, stand_in = experiment.warm_start, experiment.model.stand_in
        if settings is None:
            return None
        context = stand_in.context_length if isinstance(settings, StandInWarmStart) else _longest(experiment)
        return cls(settings=settings, context_length=context, playing=PlayingView.of(experiment))


class PolicyView(View):
    """What a policy is opened with. ``temperature``: of the rollouts, at which it scores and learns. ``longest``: tokens
    of the longest sequence that can occur; None: only the model's context bounds it. ``micro_batch_tokens``: tokens of one
    forward pass. ``adapter``: what is trained in place of the model's own weights; None: they are."""

    policy: SerializeAsAny[PolicySection]
    packages: dict[str, str]
    temperature: float
    longest: int | None
    micro_batch_tokens: int
    adapter: LoraSettings | None

    @property
    def at_once(self) -> int | None:
        """Episodes that are played beside each other at most; None: all of a batch."""
        return self.policy.at_once

    @classmethod
    def of(cls, experiment: ExperimentConfig) -> PolicyView:
        return cls(
            policy=experiment.policy,
            packages=package_versions(registry.policy_spec(experiment.policy.name).packages),
            temperature=experiment.rollout.temperature,
            longest=_longest(experiment),
            micro_batch_tokens=experiment.training.micro_batch_tokens,
            adapter=experiment.training.adapter,
        )


def _sampling(experiment: ExperimentConfig, temperature: float) -> SamplingSettings:
    rollout = experiment.rollout
    return SamplingSettings(temperature, rollout.max_action_tokens, rollout.max_context_tokens)


class RolloutView(View):
    """One iteration's rollout: ``tasks`` groups of ``group_size`` episodes. With ``dynamic_sampling``, groups without a
    signal are replaced, in at most ``max_generation_batches`` batches."""

    seed: int
    iteration: int
    tasks: int
    group_size: int
    dynamic_sampling: bool
    max_generation_batches: int
    sampling: SamplingSettings
    playing: PlayingView
    policy: PolicyView

    @classmethod
    def of(cls, experiment: ExperimentConfig, iteration: int) -> RolloutView:
        return cls(
            seed=experiment.seed,
            iteration=iteration,
            tasks=experiment.training.tasks,
            group_size=experiment.training.group_size,
            dynamic_sampling=experiment.algorithm.dynamic_sampling,
            max_generation_batches=experiment.algorithm.max_generation_batches,
            sampling=_sampling(experiment, experiment.rollout.temperature),
            playing=PlayingView.of(experiment),
            policy=PolicyView.of(experiment),
        )


class AdvantageView(View):
    """How the batch's steps get their advantages."""

    estimator: SerializeAsAny[EstimatorSettings]
    modulator: SerializeAsAny[ModulatorSettings]
    credit: CreditConfig

    @classmethod
    def of(cls, experiment: ExperimentConfig) -> AdvantageView:
        return cls(estimator=experiment.algorithm.estimator, modulator=experiment.empg, credit=experiment.credit)

    @property
    def columns(self) -> tuple[Column, ...]:
        """What the methods declare for every step, beside the final advantage."""
        return declared_columns(self.estimator.make(), self.modulator.make())


class UpdateView(View):
    """One iteration's update; ``settings`` have the learning rate of this iteration."""

    seed: int
    iteration: int
    settings: UpdateSettings
    policy: PolicyView

    @classmethod
    def of(cls, experiment: ExperimentConfig, iteration: int) -> UpdateView:
        settings = experiment.update_settings()
        return cls(
            seed=experiment.seed,
            iteration=iteration,
            settings=settings.at(iteration, experiment.training.iterations),
            policy=PolicyView.of(experiment),
        )


class PanelView(View):
    """The panel that is evaluated. The stages that play it have its hash among their inputs."""

    split: str
    games: int

    @classmethod
    def of(cls, experiment: ExperimentConfig) -> PanelView:
        return cls(split=experiment.benchmark.evaluation_split, games=experiment.evaluation.games)


class EvaluationView(View):
    """One evaluation; its dice are the same at every iteration. ``samples`` of each task, from the ``first`` on."""

    seed: int
    first: int
    samples: int
    sampling: SamplingSettings
    playing: PlayingView
    policy: PolicyView

    @classmethod
    def of(cls, experiment: ExperimentConfig) -> EvaluationView:
        return cls(
            seed=experiment.seed,
            first=0,
            samples=experiment.evaluation.samples,
            sampling=_sampling(experiment, experiment.evaluation.temperature),
            playing=PlayingView.of(experiment),
            policy=PolicyView.of(experiment),
        )

    def block(self, samples: range) -> EvaluationView:
        """Some of its samples alone."""
        return self.model_copy(update={"first": samples.start, "samples": len(samples)})


class ContinuationsView(View):
    """``continuations`` of each of the ``prefixes`` of a rollout: (group, member, steps)."""

    seed: int
    continuations: int
    prefixes: tuple[tuple[int, int, int], ...]
    sampling: SamplingSettings
    playing: PlayingView
    policy: PolicyView

    @classmethod
    def of(
        cls, experiment: ExperimentConfig, prefixes: tuple[tuple[int, int, int], ...], *, continuations: int, seed: int
    ) -> ContinuationsView:
        return cls(
            seed=seed,
            continuations=continuations,
            prefixes=prefixes,
            sampling=_sampling(experiment, experiment.rollout.temperature),
            playing=PlayingView.of(experiment),
            policy=PolicyView.of(experiment),
        )


class AnalysisView(View):
    """What training did to the policy; ``iterations``: 0 trained nothing."""

    seed: int
    iterations: int
    advantage: AdvantageView
    policy: PolicyView

    @classmethod
    def of(cls, experiment: ExperimentConfig) -> AnalysisView:
        return cls(
            seed=experiment.seed,
            iterations=experiment.training.iterations,
            advantage=AdvantageView.of(experiment),
            policy=PolicyView.of(experiment),
        )


class ScheduleView(View):
    """Which stages a run has: ``iterations``, with an evaluation after every ``every``-th. It belongs to the run, and to no
    artifact."""

    iterations: int
    every: int

    @classmethod
    def of(cls, experiment: ExperimentConfig) -> ScheduleView:
        return cls(iterations=experiment.training.iterations, every=experiment.evaluation.every)
