"""``LocalLearner``: AdamW on ``empg``'s clipped objective, in place. It knows no algorithm: it is given per-token
advantages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from empg import LossSettings, NonFiniteError, policy_loss
from empg.objective import denominator
from pipelines.config import UpdateSettings
from pipelines.errors import MissingCheckpoint, NonFiniteLoss
from pipelines.policies.local.config import LocalPolicyConfig
from pipelines.policies.local.engine import Engine, open_engine
from pipelines.policies.local.scoring import Scorer, collate, micro_batches
from pipelines.policies.sampler_gap import sampler_gap
from pipelines.records import Score, TrainingSequence, UpdateMetrics

_OPTIMIZER = "optimizer.safetensors"


class LocalLearner:
    """``engine``: whose model is trained, in place, and ``settings`` its own. ``start``: the folder that it was read from and,
    frozen, the reference of the KL loss. ``temperature``: of the rollouts; scores and updates use the log-probs of the policy
    that really acted."""

    def __init__(self, engine: Engine, start: Path, temperature: float, settings: LocalPolicyConfig) -> None:
        self._engine, self._start, self._settings = engine, start, settings
        self._scorer = Scorer(engine, temperature)
        self._reference: Scorer | None = None
        self._optimizer: torch.optim.AdamW | None = None
        self._loaded: dict[str, torch.Tensor] = {}  # moments of a checkpoint that no update has asked for yet

    def score(self, sequences: Sequence[TrainingSequence], *, reference: bool = False) -> list[Score]:
        return (self._frozen() if reference else self._scorer).score(sequences)

    def _frozen(self) -> Scorer:
        if self._reference is None:
            adapted = self._engine.adapter is not None  # then the frozen model is here already
            frozen = (
                self._engine.without_adapter() if adapted else open_engine(self._start, self._settings, frozen=True)
            )
            self._reference = Scorer(frozen, self._scorer.temperature)
        return self._reference

    # ------------------------------------------------------------ updates

    def update(self, sequences: Sequence[TrainingSequence], settings: UpdateSettings, *, seed: int) -> UpdateMetrics:
        """An optimiser step per mini-batch, over a seeded shuffle of the rows.

        Raises:
            NonFiniteLoss: before the step is taken; the weights are those of the last good step.
        """
        reference = self.score(sequences, reference=True) if settings.kl_coefficient > 0 else None
        gaps: dict[str, float] = {}
        if self._settings.dtype == "bfloat16":
            # What the sampler rounded would be clipped as if the policy had moved.
            scores = self.score(sequences)
            gaps = sampler_gap(sequences, scores)
            sequences = [
                replace(row, behaviour_logprobs=score.logprobs) for row, score in zip(sequences, scores, strict=True)
            ]
        optimizer = self._with(settings)
        loss_settings = LossSettings(
            **settings.model_dump(include={"clip_low", "clip_high", "dual_clip", "aggregation"}),
            **settings.model_dump(include={"kl_coefficient", "kl_estimator", "entropy_coefficient"}),
            length=settings.loss_length,
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
            self._engine.version += 1
            totals.append(metrics)
        means = {name: float(np.mean([t[name] for t in totals])) for name in totals[0]}
        tokens = int(sum(s.action_mask.sum() for s in sequences))
        return UpdateMetrics(**means, optimizer_steps=len(totals), tokens=tokens, extra=gaps)

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
        whole = collate(rows, self._engine.device)
        total = denominator(whole.mask, loss_settings.aggregation, loss_settings.length)
        sums: dict[str, float] = {}
        for part in micro_batches([len(s) for s in rows], settings.micro_batch_tokens):
            references = [reference[i] for i in part] if reference is not None else None
            batch = collate([rows[i] for i in part], self._engine.device, references)
            logprobs, entropies = self._scorer.token_logprobs(batch)
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
        # What is no loss is shown as the mean over tokens that it is elsewhere.
        if loss_settings.aggregation == "constant-length":
            per_token = total / float(whole.mask.sum())
            sums |= {name: value * per_token for name, value in sums.items() if name not in ("loss", "policy_loss")}
        norm = torch.nn.utils.clip_grad_norm_(self._engine.named.values(), settings.clip_norm)
        return sums | {"gradient_norm": float(norm)}

    def _with(self, settings: UpdateSettings) -> torch.optim.AdamW:
        """The optimiser, its state kept, under an update's settings. It is made when it is needed: torch imports its compiler for
        it, which takes seconds, and who only samples or scores needs none."""
        if self._optimizer is None:
            parameters = self._engine.named
            self._optimizer = torch.optim.AdamW(parameters.values(), lr=settings.learning_rate)
            for key, value in self._loaded.items():
                name, field = key.split("|")
                moment = value if field == "step" else value.to(self._engine.device)
                self._optimizer.state[parameters[name]][field] = moment
            self._loaded = {}
        for group in self._optimizer.param_groups:
            group.update(
                lr=settings.learning_rate, betas=(settings.beta1, settings.beta2), weight_decay=settings.weight_decay
            )
        return self._optimizer

    # ------------------------------------------------------------ checkpoints

    def save(self, path: Path) -> None:
        """``model/`` (a Hugging Face folder), or ``adapter/`` alone where one is trained, and the optimiser's state, all
        safetensors: the same state, same bytes."""
        if self._engine.adapter is None:
            self._engine.save(self._start, path / "model")
        else:
            self._engine.adapter.save(path / "adapter")
        save_file(self._moments(), path / _OPTIMIZER)

    def _moments(self) -> dict[str, torch.Tensor]:
        if self._optimizer is None:
            return self._loaded
        state = self._optimizer.state
        return {
            f"{name}|{key}": value.detach()
            for name, p in self._engine.named.items()
            for key, value in state.get(p, {}).items()
        }

    def load(self, path: Path) -> None:
        """Continue from what ``save`` wrote, bit for bit.

        Raises:
            MissingCheckpoint: a file is absent or damaged.
        """
        try:
            moments = load_file(path / _OPTIMIZER)
        except (OSError, SafetensorError) as error:
            raise MissingCheckpoint(
                f"checkpoint {path} cannot be read ({error}): restore it or remove the folder"
            ) from None
        if self._engine.adapter is not None:
            self._engine.adapter.load(path / "adapter")
        else:
            self._engine.load(path / "model")
        self._engine.version += 1
        self._optimizer, self._loaded = None, moments

    def close(self) -> None: ...
