"""What the platform knows of the policy that samples by vLLM and trains by OpenRLHF."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.policies.openrlhf.config import OpenrlhfPolicyConfig
from pipelines.registry import PolicySpec

if TYPE_CHECKING:
    from pipelines.config import ExperimentConfig
    from pipelines.protocols import Policy


def _build(experiment: ExperimentConfig, model: Path) -> Policy:
    from pipelines.policies.openrlhf.policy import openrlhf_policy

    assert isinstance(experiment.policy, OpenrlhfPolicyConfig)
    rollout = experiment.rollout
    longest = None if rollout.max_context_tokens is None else rollout.max_context_tokens + rollout.max_action_tokens
    return openrlhf_policy(
        model,
        experiment.policy,
        temperature=rollout.temperature,
        longest=longest,
        micro_batch_tokens=experiment.training.micro_batch_tokens,
    )


SPEC = PolicySpec(name="openrlhf", config=OpenrlhfPolicyConfig, build=_build)
