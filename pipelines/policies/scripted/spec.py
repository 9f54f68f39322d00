"""What the platform knows of the scripted policy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.policies.scripted.config import ScriptedPolicyConfig
from pipelines.registry import PolicySpec

if TYPE_CHECKING:
    from pipelines.config.views import PolicyView
    from pipelines.protocols import Policy


def _build(view: PolicyView, model: Path) -> Policy:
    from pipelines.policies.scripted.policy import scripted_policy

    return scripted_policy()


SPEC = PolicySpec(name="scripted", config=ScriptedPolicyConfig, build=_build)
