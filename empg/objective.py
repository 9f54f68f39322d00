"""The clipped objective: symmetric clip, clip-higher, dual clip; aggregation modes; KL and entropy terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch

from empg.checks import require_finite

Aggregation = Literal["token-mean", "sequence-mean", "constant-length"]
KLEstimator = Literal["k1", "k2", "k3"]


@dataclass(frozen=True)
class LossSettings:
    """``clip_low``/``clip_high``: the ratio is clipped to [1 − low, 1 + high] (PPO: equal; DAPO's clip-higher: high >
    low). ``dual_clip`` c > 1 bounds the loss of negative advantages at −c·A (arXiv 1912.09729); None: off.
    ``kl_coefficient`` and ``entropy_coefficient`` weigh the KL loss and the entropy bonus. ``length``: the tokens by which
    ``aggregation="constant-length"`` divides each sequence's sum, however long the sequence is (Dr. GRPO, arXiv 2503.20783)."""

    clip_low: float = 0.2
    clip_high: float = 0.2
    dual_clip: float | None = None
    aggregation: Aggregation = "token-mean"
    length: int | None = None
    kl_coefficient: float = 0.0
    kl_estimator: KLEstimator = "k3"
    entropy_coefficient: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.clip_low <= 1 or self.clip_high < 0:
            raise ValueError(f"clip_low = {self.clip_low} must be in [0, 1], clip_high = {self.clip_high} not negative")
        if self.dual_clip is not None and self.dual_clip <= 1:
            raise ValueError(f"dual_clip = {self.dual_clip} must be greater than 1")
        if self.aggregation not in get_args(Aggregation):
            raise ValueError(f"aggregation = {self.aggregation!r} must be one of {', '.join(get_args(Aggregation))}")
        needed = self.aggregation == "constant-length"
        if (self.length is None) == needed or (self.length is not None and self.length < 1):
            raise ValueError(
                f"length = {self.length} with aggregation = {self.aggregation!r}: 'constant-length' needs a positive one, and no other "
                "has any"
            )
        if self.kl_estimator not in ("k1", "k2", "k3"):
            raise ValueError(f"kl_estimator = {self.kl_estimator!r} must be 'k1', 'k2' or 'k3'")


@dataclass(frozen=True)
class LossMetrics:
    """Detached scalars, aggregated as the loss is: with "constant-length" they are means over tokens times tokens / ``denominator``.
    ``clipped_*``: share of tokens whose clipped branch is active."""

    policy_loss: torch.Tensor
    kl: torch.Tensor
    entropy: torch.Tensor
    ratio: torch.Tensor
    clipped_low: torch.Tensor
    clipped_high: torch.Tensor
    approx_kl: torch.Tensor


def kl_estimate(logprobs: torch.Tensor, reference: torch.Tensor, estimator: KLEstimator) -> torch.Tensor:
    """Per-token estimate of KL(π ‖ π_ref) at sampled tokens (J. Schulman, "Approximating KL divergence", 2020).

    k1 = log π − log π_ref; k2 = k1²/2; k3 = exp(−k1) − 1 + k1 (verl's ``low_var_kl``). k3 is clamped to [−10, 10] of
    its exponent's input at ±20 as verl does, so that one runaway token cannot make the loss infinite.
    """
    k1 = logprobs - reference
    if estimator == "k1":
        return k1
    if estimator == "k2":
        return 0.5 * k1**2
    backward = (-k1).clamp(-20.0, 20.0)
    return (torch.exp(backward) - 1.0 - backward).clamp(-10.0, 10.0)


def denominator(mask_BT: torch.Tensor, aggregation: Aggregation, length: int | None = None) -> float:
    """What ``aggregate`` divides by: action tokens, sequences that have any, or these times a constant ``length``."""
    if aggregation == "token-mean":
        return float(mask_BT.sum())
    return float(mask_BT.any(-1).sum()) * (length or 1)


def aggregate(
    values_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    aggregation: Aggregation,
    total: float | None = None,
    length: int | None = None,
) -> torch.Tensor:
    """Scalar mean under the mask; with "constant-length" the mean over sequences of their sums over tokens, each divided by ``length``.
    ``total`` fixes the denominator (that of the whole mini-batch), so that the sum over its micro-batches is the mini-batch's mean,
    however it was cut."""
    if total is None:
        total = denominator(mask_BT, aggregation, length)
    if total == 0:
        raise ValueError("the mask selects no token: there is nothing to average")
    masked = torch.where(mask_BT, values_BT, torch.zeros_like(values_BT))
    if aggregation != "sequence-mean":
        return masked.sum() / total
    per_sequence = masked.sum(-1) / mask_BT.sum(-1).clamp(min=1)
    return per_sequence.sum() / total


def clipped_surrogate(
    ratio: torch.Tensor, advantages: torch.Tensor, settings: LossSettings
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Per-token loss −min(ρA, clip(ρ)A), with the dual clip where A < 0; and where each side's clip is active."""
    plain = -advantages * ratio
    clipped = -advantages * ratio.clamp(1.0 - settings.clip_low, 1.0 + settings.clip_high)
    loss = torch.maximum(plain, clipped)
    active = clipped > plain
    if settings.dual_clip is not None:
        bound = -advantages * settings.dual_clip
        loss = torch.where(advantages < 0, torch.minimum(loss, bound), loss)
    return loss, active & (ratio < 1.0), active & (ratio > 1.0)


def policy_loss(
    logprobs: torch.Tensor,
    old_logprobs: torch.Tensor,
    advantages: torch.Tensor,
    mask: torch.Tensor,
    settings: LossSettings,
    *,
    entropies: torch.Tensor | None = None,
    reference_logprobs: torch.Tensor | None = None,
    total: float | None = None,
) -> tuple[torch.Tensor, LossMetrics]:
    """The loss of one (micro-)batch, all tensors [B, T]; scalar loss and detached metrics.

    loss = surrogate + kl_coefficient·KL(π ‖ π_ref) − entropy_coefficient·H, each aggregated alike. What stands outside
    the mask may be anything, NaN and infinity too: it reaches neither the loss nor a gradient.

    Raises:
        ValueError: a term is asked for whose tensor is missing, or a tensor is not finite where the mask selects it.
    """
    if settings.kl_coefficient and reference_logprobs is None:
        raise ValueError("kl_coefficient > 0 needs reference_logprobs")
    if settings.entropy_coefficient and entropies is None:
        raise ValueError("entropy_coefficient > 0 needs entropies")

    # Zeroed before anything is computed from it: afterwards a gradient of 0 would meet inf or NaN.
    def selected(values: torch.Tensor) -> torch.Tensor:
        return torch.where(mask, values, 0.0)

    logprobs, old_logprobs, advantages = selected(logprobs), selected(old_logprobs), selected(advantages)
    checked = {"logprobs": logprobs, "old_logprobs": old_logprobs, "advantages": advantages}
    if entropies is not None:
        checked["entropies"] = entropies = selected(entropies)
    if reference_logprobs is not None:
        checked["reference_logprobs"] = reference_logprobs = selected(reference_logprobs)
    require_finite(**checked)

    def mean(values: torch.Tensor) -> torch.Tensor:
        return aggregate(values, mask, settings.aggregation, total, settings.length)

    log_ratio = logprobs - old_logprobs
    ratio = torch.exp(log_ratio.clamp(-20.0, 20.0))
    surrogate, low, high = clipped_surrogate(ratio, advantages, settings)
    policy = mean(surrogate)
    zero = policy.new_zeros(())
    kl = zero
    if reference_logprobs is not None:
        kl = mean(kl_estimate(logprobs, reference_logprobs, settings.kl_estimator))
    entropy = mean(entropies) if entropies is not None else zero
    loss = policy + settings.kl_coefficient * kl - settings.entropy_coefficient * entropy
    with torch.no_grad():
        metrics = LossMetrics(
            policy_loss=policy.detach(),
            kl=kl.detach(),
            entropy=entropy.detach(),
            ratio=mean(ratio),
            clipped_low=mean(low.to(ratio.dtype)),
            clipped_high=mean(high.to(ratio.dtype)),
            approx_kl=mean(torch.exp(log_ratio.clamp(-20.0, 20.0)) - 1.0 - log_ratio),
        )
    return loss, metrics
