"""One run: everything that bears on its numbers, and how it is executed."""

from __future__ import annotations

from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import Field, field_validator, model_validator

from empg.credit import declared_columns
from pipelines.config.credit import AnyModulator, CreditConfig
from pipelines.config.learning import (
    AlgorithmConfig,
    EvaluationConfig,
    ModelConfig,
    OptimizerSettings,
    PretrainedWarmStart,
    RolloutConfig,
    StandInWarmStart,
    TrainingConfig,
    UpdateSettings,
    WarmStartConfig,
)  # fmt: skip
from pipelines.errors import ConfigError
from pipelines.registry import benchmark_spec, benchmark_specs, policy_specs
from pipelines.sections import BenchmarkSection, DataSection, NonNegativeInt, PolicySection, PositiveInt, Section
from pipelines.tracking.registry import ChosenTrackers

if TYPE_CHECKING:
    AnyBenchmark = BenchmarkSection
    AnyData = DataSection
    AnyPolicy = PolicySection
else:  # the sections of every package, told apart by their names
    AnyBenchmark = reduce(or_, (spec.config for spec in benchmark_specs()))
    AnyData = reduce(or_, (section for spec in benchmark_specs() for section in spec.data))
    AnyPolicy = reduce(or_, (spec.config for spec in policy_specs()))


class ExperimentConfig(Section):
    """Everything that bears on the numbers of one run."""

    scale: str
    seed: NonNegativeInt = 0
    benchmark: Annotated[AnyBenchmark, Field(discriminator="name")]
    data: Annotated[AnyData, Field(discriminator="source")]
    model: ModelConfig
    policy: Annotated[AnyPolicy, Field(discriminator="name")]
    algorithm: AlgorithmConfig
    empg: AnyModulator
    credit: CreditConfig = CreditConfig()
    training: TrainingConfig
    rollout: RolloutConfig
    evaluation: EvaluationConfig
    warm_start: WarmStartConfig | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ExperimentConfig:
        if self.algorithm.dynamic_sampling != (self.algorithm.max_generation_batches > 1):
            raise ValueError(
                "algorithm.dynamic_sampling needs algorithm.max_generation_batches > 1, and the reverse; got "
                f"{self.algorithm.dynamic_sampling} and {self.algorithm.max_generation_batches}"
            )
        _ = declared_columns(self.algorithm.estimator.make(), self.empg.make())
        self._check_data()
        self.policy.check(self)
        self._check_temperatures()
        self._check_warm_start()
        if self.training.adapter is not None and not self.policy.adapts:
            able = " or ".join(f"policy={spec.name}" for spec in policy_specs() if spec.config.adapts)
            raise ValueError(
                f"training.adapter={self.training.adapter.name} is nothing that policy={self.policy.name} trains: choose {able}, "
                "or set training.adapter=null"
            )
        if self.evaluation.samples > 1 and self.evaluation.temperature == 0:
            raise ValueError(
                f"evaluation.samples={self.evaluation.samples} with evaluation.temperature=0: greedy answers are the same every "
                "time; set evaluation.samples=1, or a temperature"
            )
        return self

    @field_validator("warm_start", mode="before")
    @classmethod
    def _one_length(cls, warm_start: Any) -> Any:
        if isinstance(warm_start, dict) and {"tokens", "episodes"} <= warm_start.keys():
            raise ValueError(
                f"tokens={warm_start['tokens']} are a stand-in's length, episodes={warm_start['episodes']} a pretrained model's: "
                "leave the other kind's values out (~warm_start +warm_start={episodes:…}), or choose scale=single"
            )
        return warm_start

    def _check_warm_start(self) -> None:
        pretrained = self.model.weights == "pretrained"
        if isinstance(self.warm_start, StandInWarmStart) and pretrained:
            raise ValueError(
                f"warm_start.tokens={self.warm_start.tokens} trains a stand-in from nothing; with model.weights=pretrained "
                "set warm_start=null, or choose scale=single, where it is a number of episodes"
            )
        if isinstance(self.warm_start, PretrainedWarmStart) and not pretrained:
            raise ValueError(
                f"warm_start.episodes={self.warm_start.episodes} trains a pretrained model; with model.weights=stand_in choose "
                "scale=laptop, where it is a number of tokens, or set warm_start=null"
            )

    def _check_data(self) -> None:
        benchmark, data, kinds = self.benchmark, self.data, benchmark_spec(self.benchmark.name).data
        if not isinstance(data, kinds):
            sources = " or ".join(kind.model_fields["source"].default for kind in kinds)
            raise ValueError(f"benchmark={benchmark.name} plays data.source={sources}, not {data.source}")
        made = data.holds(benchmark.evaluation_split)
        if made is not None and self.evaluation.games > made:
            raise ValueError(
                f"evaluation.games={self.evaluation.games} but data.{benchmark.evaluation_split}={made}: lower one or "
                f"raise the other{self._another_panel()}"
            )
        benchmark.check_data(data)

    def _another_panel(self) -> str:
        """Where the panel that is asked for is empty, the one that is not."""
        asked = type(self.benchmark).model_fields["evaluation_split"].annotation
        made = {split: self.data.holds(split) or 0 for split in get_args(asked)}
        if made[self.benchmark.evaluation_split]:
            return ""
        return "".join(
            f", or choose benchmark.evaluation_split={split}, which has {number}"
            for split, number in made.items()
            if number
        )

    def _check_temperatures(self) -> None:
        lowest, highest = self.policy.temperatures
        for section, value, greedy in (
            ("rollout", self.rollout.temperature, ""),
            ("evaluation", self.evaluation.temperature, "0 (greedy) or "),
        ):
            if 0 < value < lowest or value > highest:
                raise ValueError(
                    f"{section}.temperature={value:g} is none that policy={self.policy.name} samples at: set {greedy}"
                    f"{lowest:g} to {highest:g}"
                )

    def check_runnable(self) -> None:
        """What composes but cannot be run here. Raises ConfigError."""
        self.check_possible()
        self.policy.check_runnable(self)

    def check_possible(self) -> None:
        """What composes but cannot be run anywhere. Raises ConfigError."""
        self._check_records()
        if not self.training.iterations:
            return
        if self.policy.trains == "nothing":
            raise ConfigError(
                f"policy={self.policy.name} only generates, and training.iterations={self.training.iterations} trains: set "
                f"training.iterations=0 to evaluate, or choose a policy that trains ({_which_train('stand-ins', 'any')})"
            )
        if self.model.weights == "pretrained" and self.policy.trains == "stand-ins":
            raise ConfigError(
                f"model.weights=pretrained ({self.model.pretrained}) needs a policy that trains it; policy="
                f"{self.policy.name} trains stand-ins: use scale=laptop, or {_which_train('any')}"
            )

    def _check_records(self) -> None:
        estimator = self.algorithm.estimator
        missing = sorted({*estimator.method.needs, *self.empg.method.needs} - set(self.policy.records))
        if missing:
            raise ConfigError(
                f"algorithm.estimator.name={estimator.name} needs {', '.join(missing)} of every step, which policy="
                f"{self.policy.name} does not record: choose another algorithm or policy"
            )

    def check_fits(self) -> None:
        """Raises ConfigError: by the plan, a part of the run is larger than the memory it has."""
        planned = self.policy.plan(self)
        if planned is not None and planned.misfits:
            first, *others = planned.misfits
            more = f" (and {len(others)} more)" if others else ""
            raise ConfigError(f"{self.cell} does not fit: {first}{more}: {planned.remedy}; plan=true has the numbers")

    def check_machine(self) -> None:
        """Raises ConfigError: the GPUs or the engines are not here."""
        self.policy.check_gpus(self)
        self.policy.check_engines()

    @property
    def cell(self) -> str:
        """Human name of the cell: everything of the identity that the paper's tables vary, without the seed."""
        return "-".join((self.scale, self.benchmark.name, self.model.name, self.algorithm.name, self.empg.arm))

    def update_settings(self) -> UpdateSettings:
        """The learner's settings: the training section's optimiser plus the algorithm's clipping and aggregation."""
        return UpdateSettings(
            **self.training.model_dump(include=set(OptimizerSettings.model_fields)),
            **self.algorithm.model_dump(include={"clip_low", "clip_high", "dual_clip", "aggregation"}),
            loss_length=self._loss_length(),
        )

    def _loss_length(self) -> int | None:
        """Of ``constant-length``: what is set, or the tokens that a sequence may have, of a growing one those of all its steps."""
        if self.algorithm.aggregation != "constant-length" or self.algorithm.loss_length is not None:
            return self.algorithm.loss_length
        steps = self.benchmark.max_steps if self.benchmark.prompt.history == "full" else 1
        return steps * self.rollout.max_action_tokens


def _which_train(*models: str) -> str:
    """Policies with a model that train stand-ins, or any model."""
    sections = {spec.name: spec.config for spec in policy_specs()}
    return " or ".join(
        f"policy={name}" for name, policy in sections.items() if policy.scores and policy.trains in models
    )


class ExecutionConfig(Section):
    """Where and how it runs: never part of a fingerprint.

    ``runs``: folder of the run folders. ``artifacts``: folder of the artifact store. ``trackers``: by name, those that
    ``tracker=[…]`` chooses. ``environment_workers``: processes that play a run's rollouts; set-up and warm start, made once for all
    runs of a launch, use every core. ``progress``: whether bars and the overview are shown."""

    runs: Path = Path("runs")
    artifacts: Path = Path("artifacts")
    trackers: ChosenTrackers = ChosenTrackers()
    environment_workers: PositiveInt = 1
    progress: bool = True


class RunConfig(Section):
    """A whole configuration: what it is, and how it is executed. ``plan``: it is not, only told what it would need. ``command``:
    what makes it again, as a shell reads it; "" where nobody has spelled it."""

    experiment: ExperimentConfig
    execution: ExecutionConfig = ExecutionConfig()
    plan: bool = False
    command: str = ""
