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
    from pipelines.policies.vllm.sampler import VllmSampler
    from pipelines.protocols import Policy

    assert isinstance(experiment.policy, VllmPolicyConfig)
    return Policy(VllmSampler(model, experiment.policy))


SPEC = PolicySpec(name="vllm", config=VllmPolicyConfig, build=_build)
