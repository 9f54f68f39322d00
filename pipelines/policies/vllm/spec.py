"""What the platform knows of the policy that samples by vLLM."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.policies.vllm.config import VllmPolicyConfig
from pipelines.registry import PolicySpec

if TYPE_CHECKING:
    from pipelines.config import ExperimentConfig
    from pipelines.protocols import Policy


def _build(experiment: ExperimentConfig, model: Path) -> Policy:
    from pipelines.policies.vllm.policy import VllmPolicy

    assert isinstance(experiment.policy, VllmPolicyConfig)
    return VllmPolicy(model, experiment.policy)


SPEC = PolicySpec(name="vllm", config=VllmPolicyConfig, build=_build)
