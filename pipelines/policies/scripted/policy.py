"""A policy without a network, for tests."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.policies.scripted.learner import ScriptedLearner
from pipelines.policies.scripted.sampler import ScriptedSampler, random_answer
from pipelines.protocols import Policy


def scripted_policy(answer: Callable[[int, str], str] = random_answer) -> Policy:
    """``answer(seed, context text) → text`` plays; everything is a function of the request's seed."""
    return Policy(ScriptedSampler(answer), ScriptedLearner())
