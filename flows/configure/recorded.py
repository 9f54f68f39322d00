"""A finished run's experiment, from the values that it recorded. Light to import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.configure.compose import composed, composer, validated
from pipelines import registry
from pipelines.config import ExperimentConfig


def experiment_of(values: Mapping[str, Any], overrides: Sequence[str] = ()) -> ExperimentConfig:
    """What never bears on numbers is in no record. Where a policy cannot do without it (``policy.cluster``), it is as ``conf/`` has it
    for the run's scale, or as ``overrides`` say.

    Raises:
        ConfigError: this version of the code has no such settings.
    """
    policy = values.get("policy")
    if not isinstance(policy, dict) or not (overrides or _lacks(policy)):
        return validated(values).experiment
    with composer():
        usual = composed([f"scale={values['scale']}", f"policy={policy['name']}", *overrides])["policy"]
    return validated({**values, "policy": usual | policy}).experiment


def _lacks(policy: Mapping[str, Any]) -> bool:
    """Whether the section has no value of a field that needs one."""
    fields = registry.policy_spec(policy.get("name", "")).config.model_fields
    return not all(name in policy for name, field in fields.items() if field.is_required())
