"""Entropy-Modulated Policy Gradients (arXiv 2509.09265): pure functions on tensors, torch alone.

``modulate_advantages`` is the algorithm; the rest is what a trainer needs around it: exact token entropies, step
reductions, group-relative advantages, the clipped objective, and Proposition 1. ``empg.credit`` is credit assignment by name.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from empg.advantage import dr_grpo_advantages, grpo_advantages, informative_groups, rloo_advantages
    from empg.checks import NonFiniteError
    from empg.entropy import logprobs_and_entropy, logprobs_and_entropy_from_logits
    from empg.modulation import ARMS, EMPGConfig, Modulation, modulate_advantages
    from empg.objective import LossMetrics, LossSettings, aggregate, kl_estimate, policy_loss
    from empg.steps import spread_over_tokens, step_ids_from_spans, step_means
    from empg.theory import expected_squared_score_norm, renyi2_entropy, squared_score_norm

__all__ = [
    "ARMS", "EMPGConfig", "LossMetrics", "LossSettings", "Modulation", "NonFiniteError", "aggregate", "dr_grpo_advantages",
    "expected_squared_score_norm", "grpo_advantages", "informative_groups", "kl_estimate", "logprobs_and_entropy",
    "logprobs_and_entropy_from_logits", "modulate_advantages", "policy_loss", "renyi2_entropy", "rloo_advantages",
    "spread_over_tokens", "squared_score_norm", "step_ids_from_spans", "step_means",
]  # fmt: skip

_MODULES = ("advantage", "checks", "entropy", "modulation", "objective", "steps", "theory")


def __getattr__(name: str) -> Any:
    """The functions are imported when they are first asked for: settings of estimators can be read without torch."""
    if name in __all__:
        for module in _MODULES:
            found = vars(import_module(f"empg.{module}"))
            if name in found:
                globals()[name] = found[name]
                return found[name]
    raise AttributeError(f"module 'empg' has no attribute {name!r}")
