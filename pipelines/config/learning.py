"""The model, the algorithm, and the settings of the loop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, SerializerFunctionWrapHandler, Tag, model_serializer, model_validator

from pipelines.config.credit import AnyEstimator
from pipelines.config.templates import template_text
from pipelines.errors import ConfigError
from pipelines.sections import (
    Float,
    Fraction,
    Int,
    NonNegative,
    NonNegativeInt,
    Positive,
    PositiveInt,
    Section,
    never_bears,
)


def _without_none(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name or value is not None}


class StandIn(Section):
    """Shape of the genuine ``Qwen2ForCausalLM`` made here to stand in for a pretrained model at laptop scale.

    ``hidden_size``: width of the residual stream. ``layers``: number of layers. ``heads``: attention heads of a layer.
    ``kv_heads``: heads of keys and values, a divisor of ``heads``. ``head_dim``: width of a head. ``mlp``: width of the
    feed-forward layer. ``context_length``: the most tokens it reads."""

    hidden_size: PositiveInt
    layers: PositiveInt
    heads: PositiveInt
    kv_heads: PositiveInt
    head_dim: Literal[32, 64] = 32
    mlp: PositiveInt
    context_length: PositiveInt = 1024

    @model_validator(mode="after")
    def _heads_divide(self) -> StandIn:
        if self.heads % self.kv_heads:
            raise ValueError(f"heads={self.heads} is not a multiple of kv_heads={self.kv_heads}")
        return self


class ModelConfig(Section):
    """Which model plays and learns.

    ``name``: the model's name in tables, the cell's in the paper. ``pretrained``: its Hugging Face folder on this machine.
    ``weights``: the pretrained ones, or those of its stand-in. ``template``: chat template of a pretrained model, by its name or
    file (``templates``); None: the folder's own."""

    name: str
    pretrained: str
    stand_in: StandIn
    weights: Literal["stand_in", "pretrained"] = "stand_in"
    template: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _a_stand_in_has_its_own(self) -> ModelConfig:
        if self.template is not None and self.weights == "stand_in":
            raise ValueError(
                f"template={self.template} is a pretrained model's, and a stand-in has its own: set model.template=null, or "
                "model.weights=pretrained"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_chosen(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """So that runs of before the setting are the same runs."""
        return _without_none(handler(self), "template")

    def check_folder(self) -> None:
        """Raises ConfigError: the pretrained weights are wanted and not in a folder here, or the template is not there."""
        if self.weights == "pretrained" and not (Path(self.pretrained) / "config.json").is_file():
            raise ConfigError(
                f"model.pretrained={self.pretrained} is no model folder here (it has no config.json): download the "
                "model and set model.pretrained=<its folder>"
            )
        if self.template is not None:
            template_text(self.template, Path(self.pretrained))


class AlgorithmConfig(Section):
    """How a batch becomes a gradient. GRPO: symmetric clip. DAPO: clip-higher, token mean, dynamic sampling.

    ``name``: the algorithm's name in tables. ``estimator``: credit assignment (``empg.credit.ESTIMATORS``) and its settings.
    ``clip_low``: the probability ratio is clipped at 1 minus this. ``clip_high``: the probability ratio is clipped at 1 plus this.
    ``dual_clip``: where the advantage is negative, the loss is at most this multiple of its size; None: no bound. ``aggregation``:
    mean over all tokens, or over each sequence first, or each sequence's sum divided by a constant length. ``loss_length``:
    that constant length in tokens; None: as many as a sequence may have. ``dynamic_sampling``: groups whose outcomes are all equal are
    dropped, and fresh ones played in their place. ``max_generation_batches``: how many times groups may be played for one update."""

    name: str
    estimator: AnyEstimator = Field(default={"name": "grpo"}, validate_default=True)
    clip_low: Annotated[Float, Field(gt=0, le=1)] = 0.2
    clip_high: Positive = 0.2
    dual_clip: Annotated[Float, Field(gt=1)] | None = None
    aggregation: Literal["token-mean", "sequence-mean", "constant-length"] = "token-mean"
    loss_length: PositiveInt | None = None
    dynamic_sampling: bool = False
    max_generation_batches: PositiveInt = 1

    @model_validator(mode="after")
    def _a_length_is_the_constant_ones(self) -> AlgorithmConfig:
        if self.loss_length is not None and self.aggregation != "constant-length":
            raise ValueError(
                f"loss_length={self.loss_length} is read by aggregation=constant-length alone, not by {self.aggregation}: set "
                "algorithm.loss_length=null, or algorithm.aggregation=constant-length"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_chosen(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """So that runs of before the setting are the same runs."""
        return _without_none(handler(self), "loss_length")


class OptimizerSettings(Section):
    """AdamW on the clipped objective with a KL loss against the frozen reference.

    ``learning_rate``: of AdamW, at the first iteration. ``final_learning_rate_fraction``: the learning rate falls linearly to this
    fraction of itself over the run; 1: it is constant. ``beta1``: AdamW's β₁. ``beta2``: AdamW's β₂. ``weight_decay``: AdamW's, on
    every parameter. ``clip_norm``: largest norm of the gradient. ``minibatch_size``: sequences of one optimiser step, as evenly as
    they divide. ``micro_batch_tokens``: bound on the padded tokens of one forward pass; it never changes the mathematics.
    ``kl_coefficient``: weight of the KL loss. ``kl_estimator``: Schulman's estimator of the KL divergence. ``entropy_coefficient``:
    weight of the entropy bonus."""

    learning_rate: Positive
    final_learning_rate_fraction: Fraction = 1.0
    beta1: Annotated[Float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[Float, Field(ge=0, lt=1)] = 0.999
    weight_decay: NonNegative = 0.0
    clip_norm: Positive = 1.0
    minibatch_size: PositiveInt = 256
    micro_batch_tokens: PositiveInt = 8192
    kl_coefficient: NonNegative = 0.01
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    entropy_coefficient: NonNegative = 0.001

    def minibatches(self, sequences: int) -> int:
        """Optimiser steps of one update."""
        return max(1, round(sequences / self.minibatch_size))


class UpdateSettings(OptimizerSettings):
    """What one policy update needs: the optimiser's settings, the algorithm's clipping and aggregation. ``loss_length``: of
    ``constant-length`` alone."""

    clip_low: Annotated[Float, Field(gt=0, le=1)] = 0.2
    clip_high: Positive = 0.2
    dual_clip: Annotated[Float, Field(gt=1)] | None = None
    aggregation: Literal["token-mean", "sequence-mean", "constant-length"] = "token-mean"

    loss_length: PositiveInt | None = None

    @model_serializer(mode="wrap")
    def _without_what_is_not_chosen(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_none(handler(self), "loss_length")

    def at(self, iteration: int, iterations: int) -> UpdateSettings:
        """The settings of one iteration: the learning rate decays linearly to its final fraction over the run's."""
        progress = iteration / max(iterations - 1, 1)
        factor = 1.0 - (1.0 - self.final_learning_rate_fraction) * progress
        return self.model_copy(update={"learning_rate": self.learning_rate * factor})


class LoraSettings(Section):
    """Low-rank changes of a frozen model, α/rank · B A beside each projection.

    ``rank``: of B and A. ``alpha``: α. ``targets``: projections that get one, by the end of their name."""

    name: Literal["lora"] = "lora"
    rank: PositiveInt = 16
    alpha: Positive = 32.0
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    )  # fmt: skip


class TrainingConfig(OptimizerSettings):
    """The loop.

    ``iterations``: each plays episodes and makes one update. ``tasks``: tasks of an iteration. ``group_size``: episodes of each
    task. ``adapter``: what is trained in place of the model's own weights; None: the weights themselves."""

    adapter: LoraSettings | None = None

    iterations: NonNegativeInt
    tasks: PositiveInt
    group_size: Annotated[Int, Field(ge=2)]


class RolloutConfig(Section):
    """How training episodes are played.

    ``temperature``: of sampling. ``max_action_tokens``: longest assistant message. ``max_context_tokens``: longest context before a
    message; an episode that outgrows it ends with ``context_full``; None: the model's own limit. ``environment_attempts``: times an
    environment that fails is tried before its episode counts as failed."""

    temperature: Positive = 1.0
    max_action_tokens: PositiveInt = 512
    max_context_tokens: PositiveInt | None = None
    environment_attempts: PositiveInt = 3


class EvaluationConfig(Section):
    """How the fixed panel is played.

    ``every``: iterations between evaluations; there is always one before the first and one after the last. ``games``: tasks of the
    panel that are played, the first so many. ``samples``: times each task is played, with different dice. ``temperature``: of
    sampling; 0: greedy."""

    every: PositiveInt = 5
    games: PositiveInt = 128
    samples: Annotated[Int, Field(ge=1, le=1024)] = 1
    temperature: NonNegative = 0.4


class StandInWarmStart(Section):
    """Of a stand-in: it imitates noisy expert play.

    ``tokens``: trained tokens. ``batch_tokens``: tokens of one optimiser step. ``learning_rate``: of the optimiser.
    ``matrix_optimizer``: for the weight matrices; AdamW trains the rest. ``observation_weight``: loss weight of observation tokens.
    ``noise``: probability of a random admissible action in a demonstration. ``seed``: of the demonstrations and their order, apart
    from the run's seed, so that all runs share one warm start."""

    warm_up: ClassVar = 0.0

    tokens: PositiveInt = 2_000_000
    batch_tokens: PositiveInt = 2048
    learning_rate: Positive = 3e-3
    matrix_optimizer: Literal["adamw", "muon"] = "muon"
    observation_weight: Fraction = 0.3
    noise: Fraction = 0.3
    seed: Int = 0


class PretrainedWarmStart(Section):
    """Of a pretrained model: it imitates episodes of the expert, each once, in its own chat format, by AdamW over all weights.

    ``episodes``: how many. ``batch_tokens``: tokens of one optimiser step. ``learning_rate``: the highest; it falls to zero over
    all tokens. ``warm_up``: fraction of the tokens over which the learning rate rises. ``observation_weight``: loss weight of
    observation tokens. ``noise``: probability of a random admissible action in a demonstration. ``seed``: of the demonstrations and
    their order. ``adapter``: what is trained in place of the model's own weights, and merged into them at the end. ``engine``,
    ``dtype``, ``torch_threads``, ``device``, ``checkpoint_activations``: as ``policy=local`` has it."""

    matrix_optimizer: ClassVar = "adamw"

    episodes: PositiveInt
    batch_tokens: PositiveInt = 4096
    learning_rate: Positive = 2e-5
    warm_up: Fraction = 0.1
    observation_weight: Fraction = 0.0
    noise: Fraction = 0.0
    adapter: LoraSettings | None = None
    engine: Literal["auto", "native", "transformers"] = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"
    torch_threads: PositiveInt = 1
    seed: Int = 0
    device: Literal["auto", "cpu", "cuda"] = never_bears(
        "where it is computed: another rounding, the same settings", "auto"
    )
    checkpoint_activations: bool = never_bears("what is kept or computed again: the same numbers", True)


def _length_of(warm_start: Any) -> str:
    episodes = "episodes" in warm_start if isinstance(warm_start, dict) else hasattr(warm_start, "episodes")
    return "by_episodes" if episodes else "by_tokens"


# Told apart by what says their length.
WarmStartConfig = Annotated[
    Annotated[StandInWarmStart, Tag("by_tokens")] | Annotated[PretrainedWarmStart, Tag("by_episodes")],
    Discriminator(_length_of),
]
