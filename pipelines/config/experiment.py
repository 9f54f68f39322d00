"""One run: everything that bears on its numbers, and how it is executed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from pipelines.config.alfworld import AlfworldConfig, AlfworldGenerated, RealData
from pipelines.config.deepsearch import DeepsearchConfig, DeepsearchGenerated, DeepsearchReal
from pipelines.config.learning import (
    AlgorithmConfig,
    EmpgArm,
    EvaluationConfig,
    LocalPolicyConfig,
    ModelConfig,
    OptimizerSettings,
    RolloutConfig,
    ScriptedPolicyConfig,
    TrainingConfig,
    UpdateSettings,
    VllmPolicyConfig,
    WarmStartConfig,
)  # fmt: skip
from pipelines.config.openrlhf import OpenrlhfPolicyConfig
from pipelines.config.section import NonNegativeInt, PositiveInt, Section
from pipelines.config.webshop import WebshopConfig, WebshopGenerated, WebshopReal
from pipelines.errors import ConfigError
from pipelines.gpus import how_to_install_engines, visible_gpus
from pipelines.tracking.registry import ChosenTrackers

Benchmarks = AlfworldConfig | WebshopConfig | DeepsearchConfig
Data = AlfworldGenerated | RealData | WebshopGenerated | WebshopReal | DeepsearchGenerated | DeepsearchReal
_DATA_OF: dict[str, tuple[type[Section], ...]] = {
    "alfworld": (AlfworldGenerated, RealData),
    "webshop": (WebshopGenerated, WebshopReal),
    "deepsearch": (DeepsearchGenerated, DeepsearchReal),
}

_VLLM_TEMPERATURES = (0.01, 2.0)


class ExperimentConfig(Section):
    """Everything that bears on the numbers of one run."""

    scale: str
    seed: NonNegativeInt = 0
    benchmark: Annotated[Benchmarks, Field(discriminator="name")]
    data: Annotated[Data, Field(discriminator="source")]
    model: ModelConfig
    policy: Annotated[
        LocalPolicyConfig | ScriptedPolicyConfig | VllmPolicyConfig | OpenrlhfPolicyConfig, Field(discriminator="name")
    ]
    algorithm: AlgorithmConfig
    empg: EmpgArm
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
        self._check_data()
        if isinstance(self.policy, OpenrlhfPolicyConfig):
            self._check_batches(self.policy)
        if isinstance(self.policy, OpenrlhfPolicyConfig | VllmPolicyConfig):
            self._check_temperatures()
        if self.model.weights == "pretrained" and self.warm_start is not None:
            raise ValueError(
                "warm_start trains a stand-in from nothing; set warm_start=null with model.weights=pretrained"
            )
        return self

    def _check_data(self) -> None:
        benchmark, data, kinds = self.benchmark, self.data, _DATA_OF[self.benchmark.name]
        if not isinstance(data, kinds):
            sources = " or ".join(kind.model_fields["source"].default for kind in kinds)
            raise ValueError(f"benchmark={benchmark.name} plays data.source={sources}, not {data.source}")
        made = data.holds(benchmark.evaluation_split)
        if made is not None and self.evaluation.games > made:
            raise ValueError(
                f"evaluation.games={self.evaluation.games} but data.{benchmark.evaluation_split}={made}: lower one or "
                "raise the other"
            )
        remote = isinstance(benchmark, DeepsearchConfig) and benchmark.retrieval.backend == "remote"
        if remote and isinstance(data, DeepsearchGenerated) and data.train_worlds:
            raise ValueError("a retrieval server holds one corpus: set data.train_worlds=0")

    def _check_batches(self, policy: OpenrlhfPolicyConfig) -> None:
        training, rollout = self.training, self.rollout
        if rollout.max_context_tokens is not None:
            longest = rollout.max_context_tokens + rollout.max_action_tokens
            if training.micro_batch_tokens < longest:
                raise ValueError(
                    f"training.micro_batch_tokens={training.micro_batch_tokens} hold no whole sequence: one may have {longest} "
                    f"tokens (rollout.max_context_tokens={rollout.max_context_tokens} and rollout.max_action_tokens="
                    f"{rollout.max_action_tokens}); raise it, or lower these"
                )
        if training.minibatch_size < policy.cluster.ranks:
            raise ValueError(
                f"training.minibatch_size={training.minibatch_size} sequences leave some of the trainer's "
                f"{policy.cluster.ranks} ranks without one: raise it, or use fewer GPUs"
            )

        coefficients = training.kl_coefficient, training.entropy_coefficient
        if self.algorithm.aggregation == "sequence-mean" and any(coefficients):
            raise ValueError(
                "policy=openrlhf: OpenRLHF takes the KL and entropy terms as means over tokens, and algorithm.aggregation="
                "sequence-mean asks for means over sequences: set algorithm.aggregation=token-mean, or "
                f"training.kl_coefficient={coefficients[0]} and training.entropy_coefficient={coefficients[1]} both to 0"
            )

    def _check_temperatures(self) -> None:
        """vLLM refuses what is above its range, and silently raises what is below."""
        for section, value, greedy in (
            ("rollout", self.rollout.temperature, ""),
            ("evaluation", self.evaluation.temperature, "0 (greedy) or "),
        ):
            if 0 < value < _VLLM_TEMPERATURES[0] or value > _VLLM_TEMPERATURES[1]:
                raise ValueError(
                    f"{section}.temperature={value:g} is none that vLLM samples at (policy={self.policy.name}): set {greedy}"
                    f"{_VLLM_TEMPERATURES[0]:g} to {_VLLM_TEMPERATURES[1]:g}"
                )

    def check_runnable(self) -> None:
        """What composes but cannot be run here. Raises ConfigError."""
        self.check_possible()
        if isinstance(self.policy, VllmPolicyConfig):
            self._check_generation()
        elif self.model.weights == "pretrained" and isinstance(self.policy, LocalPolicyConfig):
            self._check_model_folder()

    def check_possible(self) -> None:
        """What composes but cannot be run anywhere. Raises ConfigError."""
        untrained = self.training.iterations == 0 and isinstance(self.policy, LocalPolicyConfig)
        if isinstance(self.policy, VllmPolicyConfig):
            if self.training.iterations:
                raise ConfigError(
                    f"policy=vllm only generates, and training.iterations={self.training.iterations} trains: set "
                    "training.iterations=0 to evaluate, or choose a policy that trains (policy=local)"
                )
        elif self.model.weights == "pretrained" and not untrained and not isinstance(self.policy, OpenrlhfPolicyConfig):
            raise ConfigError(
                f"model.weights=pretrained ({self.model.pretrained}) needs a policy that trains it; policy="
                f"{self.policy.name} trains stand-ins: use scale=laptop, or policy=openrlhf"
            )

    def _check_generation(self) -> None:
        if self.model.weights == "pretrained":
            self._check_model_folder()
        if find_spec("vllm") is None:
            remedy = how_to_install_engines(cuda=bool(visible_gpus()))
            raise ConfigError(f"policy=vllm needs vLLM, which is not installed beside this Python: {remedy}")

    def _check_model_folder(self) -> None:
        if not (Path(self.model.pretrained) / "config.json").is_file():
            raise ConfigError(
                f"model.pretrained={self.model.pretrained} is no model folder here (it has no config.json): download the "
                "model and set model.pretrained=<its folder>"
            )

    @property
    def cell(self) -> str:
        """Human name of the cell: everything of the identity that the paper's tables vary, without the seed."""
        return "-".join((self.scale, self.benchmark.name, self.model.name, self.algorithm.name, self.empg.arm))

    def update_settings(self) -> UpdateSettings:
        """The learner's settings: the training section's optimiser plus the algorithm's clipping and aggregation."""
        return UpdateSettings(
            **self.training.model_dump(include=set(OptimizerSettings.model_fields)),
            **self.algorithm.model_dump(include={"clip_low", "clip_high", "dual_clip", "aggregation"}),
        )


class ExecutionConfig(Section):
    """Where and how it runs: never part of a fingerprint. ``environment_workers``: processes that play a run's
    rollouts; set-up and warm start, made once for all runs of a launch, use every core. ``trackers``: by name, those that
    ``tracker=[…]`` chooses."""

    runs: Path = Path("runs")
    artifacts: Path = Path("artifacts")
    trackers: ChosenTrackers = ChosenTrackers()
    environment_workers: PositiveInt = 1
    progress: bool = True


class RunConfig(Section):
    """A whole configuration: what it is, and how it is executed. ``plan``: it is not, only told what it would need."""

    experiment: ExperimentConfig
    execution: ExecutionConfig = ExecutionConfig()
    plan: bool = False
