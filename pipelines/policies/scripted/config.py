"""Settings of the scripted policy."""

from __future__ import annotations

from typing import ClassVar, Literal

from pipelines.sections import PolicySection


class ScriptedPolicyConfig(PolicySection):
    """No network: plays from a seeded script (``random`` admissible or malformed actions). For tests."""

    scores: ClassVar = False

    name: Literal["scripted"] = "scripted"
