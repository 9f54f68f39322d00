"""The scripted policy keeps the kit, and needs no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipelines.errors import ConfigError
from pipelines.policies.scripted.policy import scripted_policy
from pipelines.protocols import Policy
from tests.policies.conformance import Begin, LearnerConformance, Make, SamplerConformance
from tests.policies.play import converse


class TestScriptedSampler(SamplerConformance):
    vocabulary = 259

    @pytest.fixture
    def make(self) -> Make:
        return lambda: scripted_policy().sampler


class TestScriptedLearner(LearnerConformance):
    @pytest.fixture
    def begin(self) -> Begin:
        return scripted_policy


def test_a_given_answer_is_played() -> None:
    sampler = scripted_policy(lambda seed, context: f"{'mug' in context}").sampler
    assert converse(sampler, episodes=1)[0][0].generation.text == "True"


def test_a_policy_that_only_samples_says_what_it_lacks() -> None:
    with pytest.raises(ConfigError, match=r"ScriptedSampler .*a policy that trains"):
        _ = Policy(scripted_policy().sampler).learner


def test_it_imports_no_torch() -> None:
    code = "import sys, pipelines.policies, pipelines.policies.scripted.policy; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
