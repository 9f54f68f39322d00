"""OpenRLHF's own update — its loop, its loss — over mini- and micro-batches that are laid out beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from openrlhf.models import PolicyLoss, aggregate_loss
from openrlhf.trainer.ppo_utils.experience import Experience
from openrlhf.trainer.ppo_utils.replay_buffer import NaiveReplayBuffer
from openrlhf.trainer.ray import ppo_actor

from pipelines.policies.openrlhf.adapter import Adapter
from pipelines.policies.openrlhf.layout import Micro, Row, Totals
from pipelines.policies.openrlhf.patches import use_replay_buffer


class Buffer(NaiveReplayBuffer):
    """Gives ``ppo_train`` the laid-out micro-batches in their order, by way of its dynamic batches."""

    def __init__(self, *_: Any) -> None:
        self.items: list[Experience] = []
        self.sample_batch_size = 1
        self.dynamic_batch = True
        self.packing_samples = False
        self.dynamic_indices: list[list[int]] = []
        self.dynamic_optimizer_step: list[int] = []
        self.dynamic_batch_num_tokens: list[float] = []
        self.dynamic_global_batch_size: list[float] = []
        self.dynamic_sample_loss_scale: list[float] = []
        self.per_token: list[float] = []  # times a sum over tokens / what the loss is divided by: the mean over tokens

    def fill(self, rows: Sequence[Row], minibatches: Sequence[Sequence[Micro]], totals: Sequence[Totals]) -> None:
        """``totals``: of each mini-batch, over all ranks."""
        self.clear()
        self.items = [experience(row) for row in rows] + [_nothing()]
        for micros, total in zip(minibatches, totals, strict=True):
            self.dynamic_indices += [micro or [len(rows)] for micro in micros]
            self.dynamic_optimizer_step += [0] * (len(micros) - 1) + [1]
            self.dynamic_batch_num_tokens += [total.divisor] * len(micros)
            self.dynamic_global_batch_size += [total.sequences] * len(micros)
            self.per_token += [total.divisor / total.tokens] * len(micros)

    def clear(self) -> None:
        for held in (
            self.items, self.dynamic_indices, self.dynamic_optimizer_step, self.dynamic_batch_num_tokens,
            self.dynamic_global_batch_size, self.per_token,
        ):  # fmt: skip
            held.clear()

    def setup_dynamic_batch(self, strategy: Any) -> None:
        """Done beforehand: OpenRLHF's own drops the sequences that do not fill a mini-batch."""


use_replay_buffer(Buffer)


def experience(row: Row) -> Experience:
    """One sequence; A = T − 1, the predicted tokens."""
    sequence = row.sequence

    def predicted(values: Any) -> torch.Tensor:
        return torch.from_numpy(values[1:].copy())

    return Experience(
        sequences=torch.from_numpy(sequence.token_ids.astype("int64")),
        attention_mask=torch.ones(len(sequence), dtype=torch.long),
        action_mask=predicted(sequence.action_mask),
        action_log_probs=predicted(row.old_logprobs),
        base_action_log_probs=predicted(row.reference_logprobs),
        rollout_log_probs=predicted(sequence.behaviour_logprobs),
        advantages=predicted(sequence.advantages),
    )


def _nothing() -> Experience:
    """A rank without a row computes this one: collective operations need every rank."""
    zeros = torch.zeros(1)
    return Experience(
        sequences=torch.zeros(2, dtype=torch.long), attention_mask=torch.ones(2, dtype=torch.long),
        action_mask=torch.zeros(1, dtype=torch.bool), action_log_probs=zeros, base_action_log_probs=zeros,
        rollout_log_probs=zeros, advantages=zeros,
    )  # fmt: skip


class Measured(PolicyLoss):
    """OpenRLHF's loss; ``found`` is what the last micro-batch adds to the mini-batch's means, without its share of
    ranks."""

    def forward(self, log_probs: Any, old_log_probs: Any, advantages: Any, **settings: Any) -> Any:
        results = super().forward(log_probs, old_log_probs, advantages, **settings)
        with torch.no_grad():
            log_ratio = (log_probs - old_log_probs).clamp(-20.0, 20.0)
            ratio, positive = log_ratio.exp(), advantages > 0
            weight = (old_log_probs - settings["rollout_log_probs"]).exp()
            high = positive & (ratio > 1 + self.clip_eps_high)
            low = (advantages < 0) & (ratio < 1 - self.clip_eps_low)
            values = {
                "ratio": ratio, "clip_fraction": (high | low).float(), "clip_fraction_high": high.float(),
                "approx_kl": ratio - 1 - log_ratio, "importance_weight": weight,
            }  # fmt: skip
            if self.is_correction_level != "off":
                values["importance_clipped"] = (weight > self.is_correction_threshold[1]).float()
            self.found = {name: float(self._part(value, **settings)) for name, value in values.items()}
        return results

    def _part(self, values: Any, action_mask: Any, rollout_log_probs: Any, dp_size: int, **totals: Any) -> Any:
        return aggregate_loss(values, action_mask, self.token_level_loss, dp_size=1, **totals)


class Objective(ppo_actor.ActorPPOTrainer):
    """``sums``: this rank's part of the mini-batches' means, added up over the update; ``norms``: of each step's gradient
    (all ranks'), before it is clipped. ``adapter``: what is trained in place of the model's own weights."""

    adapter: Adapter | None = None
    actor: Any

    def training_step(self, experience: Experience, kl_ctl: float, step: int, loss_batch_info: Any = None) -> Any:
        # Without it DeepSpeed takes every micro-batch for a mini-batch's last, and ZeRO 1 and 2 keep that one's gradient alone.
        self.actor.model.set_gradient_accumulation_boundary(bool(self.replay_buffer.dynamic_optimizer_step[step]))
        status = super().training_step(experience, kl_ctl, step, loss_batch_info)
        metrics, ranks = status["metrics"], torch.distributed.get_world_size()
        parts = {name: float(metrics[name]) / ranks for name in ("policy_loss", "kl", "entropy_loss")}
        measured = {"kl_per_token": parts["kl"], "entropy_per_token": parts["entropy_loss"]} | self.actor_loss_fn.found
        per_token = self.replay_buffer.per_token[step]
        for name, value in (parts | {name: value * per_token for name, value in measured.items()}).items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        if self.replay_buffer.dynamic_optimizer_step[step]:
            if not self.actor.model.was_step_applied():  # DeepSpeed skips it without a word
                raise FloatingPointError("the gradient has infinities or NaN, and DeepSpeed took no step")
            self.norms.append(float(metrics["actor_grad_norm"]))
        return status

    def broadcast_to_vllm(self) -> None:
        """OpenRLHF's, which hands over what the actor's model names; with an adapter, the model with that merged, matrix by matrix."""
        trained = self.actor
        if self.adapter is not None:
            merged = SimpleNamespace(named_parameters=self.adapter.merged)
            self.actor = SimpleNamespace(model=SimpleNamespace(module=merged))
        try:
            super().broadcast_to_vllm()
        finally:
            self.actor = trained

    def begin(self) -> None:
        self.sums: dict[str, float] = {}
        self.norms: list[float] = []
