"""Settings of the policy that samples by vLLM."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from pipelines.errors import ConfigError
from pipelines.gpus import how_to_install_engines, visible_gpus
from pipelines.sections import Float, Machines, PolicySection, PositiveInt, never_bears

if TYPE_CHECKING:
    from pipelines.config import ExperimentConfig


class VllmPolicyConfig(PolicySection):
    """vLLM in this process; it generates, and trains nothing.

    ``dtype``: of weights and activations. ``entropies``: exact ones, by one more pass over the logits (with ``tensor_parallel`` 1,
    where they stay in this process), or none. ``context_length``: in tokens; None: the model's own. ``tensor_parallel``: GPUs of
    the engine. ``prefix_caching``: what prompts share is computed once. ``eager``: no compilation and no CUDA graphs.
    ``max_episodes``: episodes generated for at once. ``kv_cache_gb``: size of the cache without a GPU. ``memory_fraction``: what it
    takes of a GPU.

    The last three change no setting of the sampling, and are no part of what a run is; but they say which requests share a batch,
    and a sum in another batch may round differently, so that a nearly even choice between two tokens falls the other way."""

    trains: ClassVar = "nothing"
    scores: ClassVar = False
    evaluates: ClassVar = True
    temperatures: ClassVar = (0.01, 2.0)  # vLLM refuses what is above, and silently raises what is below

    name: Literal["vllm"] = "vllm"
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    entropies: Literal["exact", "absent"] = "absent"
    context_length: PositiveInt | None = None
    tensor_parallel: PositiveInt = 1
    prefix_caching: bool = True
    eager: bool = True
    max_episodes: PositiveInt = never_bears("how many episodes share a batch: another rounding, the same sampling", 256)
    kv_cache_gb: PositiveInt = never_bears("the size of a cache: another rounding, the same sampling", 1)
    memory_fraction: Annotated[Float, Field(gt=0, le=1)] = never_bears(
        "the size of a cache: another rounding, the same sampling", 0.9
    )

    @model_validator(mode="after")
    def _entropies_are_here(self) -> VllmPolicyConfig:
        if self.entropies == "exact" and self.tensor_parallel > 1:
            raise ValueError(
                f"entropies=exact reads the logits in this process, and tensor_parallel={self.tensor_parallel} computes "
                "them in others: set one of them back"
            )
        return self

    @property
    def machines(self) -> Machines:
        return Machines(gpus=self.tensor_parallel)

    def check_runnable(self, experiment: ExperimentConfig) -> None:
        experiment.model.check_folder()
        self.check_engines()

    def check_engines(self) -> None:
        if find_spec("vllm") is None:
            remedy = how_to_install_engines(cuda=bool(visible_gpus()))
            raise ConfigError(f"policy=vllm needs vLLM, which is not installed beside this Python: {remedy}")
