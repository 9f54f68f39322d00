"""The policy of the paper's scale: rollout by vLLM, update by OpenRLHF's Ray actors with DeepSpeed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import model_validator

from pipelines.errors import ConfigError
from pipelines.gpus import how_to_install_engines
from pipelines.policies.openrlhf.cluster_config import ClusterConfig
from pipelines.sections import Machines, PolicySection, Positive, never_bears

if TYPE_CHECKING:
    from pipelines.config import ExperimentConfig
    from pipelines.policies.openrlhf.planning.plan import Plan


class OpenrlhfPolicyConfig(PolicySection):
    """Rollout by vLLM, update by OpenRLHF's Ray actors with DeepSpeed.

    ``dtype``: of weights and activations, in generation and training; the optimizer's own copies are float32; ``auto`` in a file is
    bfloat16 on GPUs, float32 without. ``importance_cap``: a token's loss is weighed by π_trainer / π_vLLM at the time of sampling,
    at most by this (truncated importance sampling); None: not weighed. ``cluster``: where it runs, which is no part of what a run
    is."""

    trains: ClassVar = "any"
    adapts: ClassVar = True
    temperatures: ClassVar = (0.01, 2.0)  # vLLM refuses what is above, and silently raises what is below

    name: Literal["openrlhf"] = "openrlhf"
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    importance_cap: Positive | None = 2.0
    cluster: ClusterConfig = never_bears("how the policy is spread over machines: another rounding, the same settings")

    @model_validator(mode="before")
    @classmethod
    def _dtype_of_the_device(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values.get("dtype") != "auto" or not isinstance(values.get("cluster"), dict):
            return values
        return values | {"dtype": "float32" if values["cluster"].get("device") == "cpu" else "bfloat16"}

    @model_validator(mode="after")
    def _kernels_have_the_dtype(self) -> OpenrlhfPolicyConfig:
        if self.cluster.packing and self.dtype == "float32":
            raise ValueError(
                "cluster.packing=true needs flash attention, which has no dtype=float32: set dtype=bfloat16, or "
                "cluster.packing=false"
            )
        return self

    @property
    def machines(self) -> Machines:
        cluster = self.cluster
        return Machines(cluster.nodes, cluster.gpus_per_node if cluster.device == "cuda" else 0)

    @property
    def checkpoint_parts(self) -> int:
        return self.cluster.ranks

    def plan(self, experiment: ExperimentConfig) -> Plan:
        from pipelines.policies.openrlhf.planning.plan import make_plan

        return make_plan(experiment, self)

    def check_runnable(self, experiment: ExperimentConfig) -> None:
        folder = Path(experiment.model.pretrained)
        if experiment.model.weights == "pretrained" and (folder / "config.json").is_file():
            from pipelines.policies.model_folder import check_no_code

            check_no_code(folder)

    def check_gpus(self, experiment: ExperimentConfig) -> None:
        from pipelines.policies.openrlhf.planning.machine import check_gpus

        check_gpus(experiment, self.cluster)

    def check_engines(self) -> None:
        if find_spec("openrlhf") is None:
            raise ConfigError(
                "policy=openrlhf needs OpenRLHF, which is not installed beside this Python: "
                f"{how_to_install_engines(cuda=self.cluster.device == 'cuda')}"
            )

    @property
    def bytes_per_value(self) -> int:
        return 2 if self.dtype == "bfloat16" else 4

    def check(self, experiment: ExperimentConfig) -> None:
        self._check_batches(experiment)
        self._check_loss(experiment)
        self._check_adapter(experiment)

    def _check_batches(self, experiment: ExperimentConfig) -> None:
        training, rollout = experiment.training, experiment.rollout
        if rollout.max_context_tokens is not None:
            longest = rollout.max_context_tokens + rollout.max_action_tokens
            if training.micro_batch_tokens < longest:
                raise ValueError(
                    f"training.micro_batch_tokens={training.micro_batch_tokens} hold no whole sequence: one may have {longest} "
                    f"tokens (rollout.max_context_tokens={rollout.max_context_tokens} and rollout.max_action_tokens="
                    f"{rollout.max_action_tokens}); raise it, or lower these"
                )
        if training.minibatch_size < self.cluster.ranks:
            raise ValueError(
                f"training.minibatch_size={training.minibatch_size} sequences leave some of the trainer's "
                f"{self.cluster.ranks} ranks without one: raise it, or use fewer GPUs"
            )

    @staticmethod
    def _check_loss(experiment: ExperimentConfig) -> None:
        coefficients = experiment.training.kl_coefficient, experiment.training.entropy_coefficient
        if experiment.algorithm.aggregation == "sequence-mean" and any(coefficients):
            raise ValueError(
                "policy=openrlhf: OpenRLHF takes the KL and entropy terms as means over tokens, and algorithm.aggregation="
                "sequence-mean asks for means over sequences: set algorithm.aggregation=token-mean, or "
                f"training.kl_coefficient={coefficients[0]} and training.entropy_coefficient={coefficients[1]} both to 0"
            )

    def _check_adapter(self, experiment: ExperimentConfig) -> None:
        adapter = experiment.training.adapter
        if adapter is not None and self.cluster.zero_stage > 2:
            raise ValueError(
                f"training.adapter={adapter.name} with policy.cluster.zero_stage={self.cluster.zero_stage}: an adapter is merged from "
                "whole matrices, which that stage spreads over the ranks; set policy.cluster.zero_stage=2"
            )
