"""Settings of the scripted policy."""

from __future__ import annotations

from typing import Literal

from pipelines.sections import PolicySection


class ScriptedPolicyConfig(PolicySection):
    """No network: plays from a seeded script (``random`` admissible or malformed actions). For tests."""

    name: Literal["scripted"] = "scripted"
