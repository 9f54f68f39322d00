"""The scripted policy keeps the kit, and needs no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipelines.policies.scripted.policy import ScriptedPolicy
from tests.policies.conformance import Make, PolicyConformance
from tests.policies.play import converse


class TestScripted(PolicyConformance):
    vocabulary = 259

    @pytest.fixture
    def make(self) -> Make:
        return ScriptedPolicy


def test_a_given_answer_is_played() -> None:
    policy = ScriptedPolicy(lambda seed, context: f"{'mug' in context}")
    assert converse(policy, episodes=1)[0][0].generation.text == "True"


def test_it_imports_no_torch() -> None:
    code = "import sys, pipelines.policies, pipelines.policies.scripted.policy; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
