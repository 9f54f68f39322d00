"""Score and update: AdamW on ``empg``'s clipped objective. The learner knows no algorithm: it is given per-token
advantages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from empg import LossSettings, NonFiniteError, logprobs_and_entropy, policy_loss
from empg.objective import denominator
from pipelines.config import UpdateSettings
from pipelines.errors import NonFiniteLoss
from pipelines.policies.local.parameters import Qwen2Parameters
from pipelines.policies.local.transformer import forward, packed, packed_positions, rotations, weights_of
from pipelines.records import Score, TrainingSequence, UpdateMetrics

_SCORING_TOKENS = 8192  # buffers beyond 32 MB are new pages each time


@dataclass(frozen=True, eq=False)
class Batch:
    """``tokens``: the sequences laid end to end, of ``lengths``. The others are right-padded rows [B, T − 1] of the
    *predicted* tokens; ``mask`` is their action mask."""

    tokens: torch.Tensor
    lengths: list[int]
    mask: torch.Tensor
    behaviour_logprobs: torch.Tensor
    advantages: torch.Tensor
    reference_logprobs: torch.Tensor | None = None


def collate(sequences: Sequence[TrainingSequence], reference: Sequence[Score] | None = None) -> Batch:
    def pad(rows: Sequence[np.ndarray]) -> torch.Tensor:
        return pad_sequence([torch.from_numpy(np.ascontiguousarray(row)) for row in rows], batch_first=True)

    return Batch(
        tokens=torch.from_numpy(np.concatenate([s.token_ids for s in sequences]).astype(np.int64)),
        lengths=[len(s) for s in sequences],
        mask=pad([s.action_mask[1:] for s in sequences]),
        behaviour_logprobs=pad([s.behaviour_logprobs[1:] for s in sequences]),
        advantages=pad([s.advantages[1:] for s in sequences]),
        reference_logprobs=pad([r.logprobs[1:] for r in reference]) if reference is not None else None,
    )


class Learner:
    """Holds no weights of its own: the module's, and the optimiser's state."""

    def __init__(self, model: Qwen2Parameters, temperature: float) -> None:
        self.model, self.temperature = model, temperature
        self.rotations = rotations(model)
        self.optimizer: torch.optim.AdamW | None = None

    def token_logprobs(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probs and entropies [B, T − 1] of the action tokens, 0 elsewhere; the output matrix is applied at action
        positions only."""
        weights = weights_of(self.model, self.rotations)
        hidden = forward(weights, batch.tokens[None], packed_positions(batch.lengths), packed(batch.lengths))[0]
        starts = torch.tensor(np.concatenate([[0], np.cumsum(batch.lengths)[:-1]]))
        row, column = batch.mask.nonzero(as_tuple=True)
        place = starts[row] + column  # of the token that predicts
        chosen, entropy = logprobs_and_entropy(
            hidden.index_select(0, place), weights.lm_head, batch.tokens[place + 1], temperature=self.temperature
        )
        zeros = torch.zeros(batch.mask.shape)
        return zeros.masked_scatter(batch.mask, chosen), zeros.masked_scatter(batch.mask, entropy)

    @torch.no_grad()
    def score(self, sequences: Sequence[TrainingSequence]) -> list[Score]:
        scores: list[Score | None] = [None] * len(sequences)
        for rows in micro_batches([len(s) for s in sequences], _SCORING_TOKENS):
            logprobs, entropies = self.token_logprobs(collate([sequences[i] for i in rows]))
            for row, i in enumerate(rows):
                n = len(sequences[i])
                scores[i] = Score(_shifted(logprobs[row], n), _shifted(entropies[row], n))
        return [s for s in scores if s is not None]

    def update(
        self,
        sequences: Sequence[TrainingSequence],
        reference: Sequence[Score] | None,
        settings: UpdateSettings,
        seed: int,
    ) -> UpdateMetrics:
        """An optimiser step per mini-batch, over a seeded shuffle of the rows.

        Raises:
            NonFiniteLoss: before the step is taken; the weights are those of the last good step.
        """
        optimizer = self._optimizer(settings)
        loss_settings = LossSettings(
            **settings.model_dump(include={"clip_low", "clip_high", "dual_clip", "aggregation"}),
            **settings.model_dump(include={"kl_coefficient", "kl_estimator", "entropy_coefficient"}),
        )
        order = np.random.Generator(np.random.Philox(key=seed)).permutation(len(sequences))
        totals: list[dict[str, float]] = []
        minibatches = settings.minibatches(len(order))
        for number, chunk in enumerate(np.array_split(order, minibatches)):
            rows = [sequences[i] for i in chunk]
            mine = [reference[i] for i in chunk] if reference is not None else None
            try:
                metrics = self._step(optimizer, rows, mine, loss_settings, settings)
                for name in ("loss", "gradient_norm"):
                    if not np.isfinite(metrics[name]):
                        raise NonFiniteError(f"{name} = {metrics[name]}")
            except NonFiniteError as error:
                raise NonFiniteLoss(
                    f"{error} in mini-batch {number} of {minibatches}; no step was taken. Lower "
                    "training.learning_rate or training.clip_norm, then launch again"
                ) from None
            optimizer.step()
            totals.append(metrics)
        means = {name: float(np.mean([t[name] for t in totals])) for name in totals[0]}
        tokens = int(sum(s.action_mask.sum() for s in sequences))
        return UpdateMetrics(**means, optimizer_steps=len(totals), tokens=tokens, extra={})

    def _step(
        self,
        optimizer: torch.optim.Optimizer,
        rows: Sequence[TrainingSequence],
        reference: Sequence[Score] | None,
        loss_settings: LossSettings,
        settings: UpdateSettings,
    ) -> dict[str, float]:
        """Accumulate the gradient of one mini-batch over micro-batches; the denominator is the mini-batch's."""
        optimizer.zero_grad(set_to_none=True)
        whole = collate(rows)
        total = denominator(whole.mask, loss_settings.aggregation)
        sums: dict[str, float] = {}
        for part in micro_batches([len(s) for s in rows], settings.micro_batch_tokens):
            batch = collate([rows[i] for i in part], [reference[i] for i in part] if reference is not None else None)
            logprobs, entropies = self.token_logprobs(batch)
            loss, m = policy_loss(
                logprobs, batch.behaviour_logprobs, batch.advantages, batch.mask, loss_settings,
                entropies=entropies, reference_logprobs=batch.reference_logprobs, total=total,
            )  # fmt: skip
            loss.backward()
            found = {
                "loss": loss.detach(), "policy_loss": m.policy_loss, "kl": m.kl, "entropy": m.entropy, "ratio": m.ratio,
                "clip_fraction": m.clipped_low + m.clipped_high, "clip_fraction_high": m.clipped_high,
                "approx_kl": m.approx_kl,
            }  # fmt: skip
            for name, value in found.items():
                sums[name] = sums.get(name, 0.0) + float(value)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip_norm)
        return sums | {"gradient_norm": float(norm)}

    def _optimizer(self, settings: UpdateSettings) -> torch.optim.AdamW:
        if self.optimizer is None:
            self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=settings.learning_rate)
        for group in self.optimizer.param_groups:
            group.update(
                lr=settings.learning_rate, betas=(settings.beta1, settings.beta2), weight_decay=settings.weight_decay
            )
        return self.optimizer


def micro_batches(lengths: Sequence[int], most_tokens: int) -> Iterator[list[int]]:
    """Indices, longest rows first, cut so that a part holds ≤ ``most_tokens`` (a longer row goes alone)."""
    part: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if part and sum(lengths[j] for j in part) + lengths[i] > most_tokens:
            yield part
            part = []
        part.append(i)
    if part:
        yield part


def _shifted(row: torch.Tensor, length: int) -> np.ndarray:
    """Predicted-token row [T − 1] → token row float32[T]; the first token has no prediction."""
    return np.concatenate([np.zeros(1, np.float32), row[: length - 1].numpy().astype(np.float32)])
