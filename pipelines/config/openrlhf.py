"""The policy of the paper's scale: rollout by vLLM, update by OpenRLHF's Ray actors with DeepSpeed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from pipelines.config.cluster import ClusterConfig
from pipelines.config.section import Positive, Section


class OpenrlhfPolicyConfig(Section):
    """``dtype``: of weights and activations, in generation and training; the optimizer's own copies are float32.
    ``importance_cap``: a token's loss is weighed by π_trainer / π_vLLM at the time of sampling, at most by this (truncated
    importance sampling); null: not weighed. The
    ``cluster`` says where: it is no part of what a run is."""

    name: Literal["openrlhf"] = "openrlhf"
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    importance_cap: Positive | None = 2.0
    cluster: ClusterConfig = Field(exclude=True)

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
    def bytes_per_value(self) -> int:
        return 2 if self.dtype == "bfloat16" else 4
