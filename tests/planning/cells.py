"""Paper-scale configurations for the tests of plans."""

from __future__ import annotations

from flows.configure.compose import compose
from pipelines.config import LoraSettings
from pipelines.policies.openrlhf.config import OpenrlhfPolicyConfig
from pipelines.policies.openrlhf.planning.memory import Micro
from pipelines.policies.openrlhf.planning.plan import Plan

SMALL, MIDDLE, LARGE = "qwen2.5_1.5b", "qwen2.5_7b", "qwen2.5_32b"


def planned(model: str, *overrides: str) -> Plan:
    experiment = compose(["scale=paper", f"model={model}", *overrides]).experiment
    made = experiment.policy.plan(experiment)
    assert isinstance(made, Plan)
    return made


def policy(**cluster: object) -> OpenrlhfPolicyConfig:
    """Of the 7B preset, 8 GPUs, with other values."""
    base = planned(MIDDLE).policy
    changed = base.cluster.model_validate({**base.cluster.model_dump(), **cluster})
    return base.model_copy(update={"cluster": changed})


def micro(tokens: int = 16384, *, entropy: bool = True, adapter: LoraSettings | None = None) -> Micro:
    return Micro(tokens, reference=True, entropy=entropy, adapter=adapter)
