"""``OpenrlhfLearner``: the ranks of OpenRLHF's trainer, each a Ray process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.config import UpdateSettings
from pipelines.errors import MissingCheckpoint
from pipelines.files import read_json, write_json
from pipelines.policies.model_folder import check_folder
from pipelines.policies.openrlhf.config import OpenrlhfPolicyConfig
from pipelines.policies.openrlhf.group import Processes
from pipelines.policies.openrlhf.layout import Row, Totals, lay_out
from pipelines.policies.sampler_gap import sampler_gap
from pipelines.records import Score, TrainingSequence, UpdateMetrics

_SHAPE = "ranks.json"


class OpenrlhfLearner:
    """``micro_batch_tokens``: of one scoring pass on a rank."""

    def __init__(self, processes: Processes, settings: OpenrlhfPolicyConfig, micro_batch_tokens: int) -> None:
        self._processes, self._settings, self._micro_tokens = processes, settings, micro_batch_tokens
        self._known: dict[bytes, Score] = {}  # what ``score`` said of the present weights

    # ------------------------------------------------------------ scores and updates

    def score(self, sequences: Sequence[TrainingSequence], *, reference: bool = False) -> list[Score]:
        scores = self._scored(sequences, reference=reference)
        if not reference:
            self._known |= {_key(s): score for s, score in zip(sequences, scores, strict=True)}
        return scores

    def _scored(self, sequences: Sequence[TrainingSequence], *, reference: bool) -> list[Score]:
        if not sequences:
            return []
        self._processes.training()
        shares = self._shares([len(s) for s in sequences], [range(len(sequences))], self._micro_tokens)
        found = self._processes.trainers(
            [("score", [sequences[i] for i in share.rows], share.minibatches[0], reference) for share in shares]
        )
        scores: dict[int, Score] = {}
        for share, part in zip(shares, found, strict=True):
            scores |= dict(zip(share.rows, part, strict=True))
        return [scores[i] for i in range(len(sequences))]

    def _shares(self, lengths: Sequence[int], minibatches: Sequence[Sequence[int]], tokens: int) -> Any:
        cluster = self._settings.cluster
        return lay_out(lengths, minibatches, cluster.ranks, tokens, padded=not cluster.packing)

    def _old(self, sequences: Sequence[TrainingSequence]) -> list[Score]:
        """Of the weights as they are; from the rollout's scoring, unless the run was resumed since."""
        missing = [s for s in sequences if _key(s) not in self._known]
        self._known |= {
            _key(s): score for s, score in zip(missing, self._scored(missing, reference=False), strict=True)
        }
        return [self._known[_key(s)] for s in sequences]

    def update(self, sequences: Sequence[TrainingSequence], settings: UpdateSettings, *, seed: int) -> UpdateMetrics:
        """An optimiser step per mini-batch, over a seeded shuffle of the rows.

        Raises:
            NonFiniteLoss: the weights of this session are then worth nothing; those of the last checkpoint stay.
        """
        old = self._old(sequences)
        reference = self._scored(sequences, reference=True) if settings.kl_coefficient > 0 else None
        rows = [
            Row(s, o.logprobs, r.logprobs)
            for s, o, r in zip(sequences, old, reference or old, strict=True)
        ]  # fmt: skip
        order = np.random.Generator(np.random.Philox(key=seed)).permutation(len(rows))
        minibatches = [chunk.tolist() for chunk in np.array_split(order, settings.minibatches(len(rows)))]
        totals = [_totals([sequences[i] for i in chunk], settings.loss_length) for chunk in minibatches]
        shares = self._shares([len(s) for s in sequences], minibatches, settings.micro_batch_tokens)
        self._known = {}
        self._processes.weights_changed()
        self._processes.training(optimizer=True)
        means = self._processes.trainers(
            [("update", [rows[i] for i in share.rows], share.minibatches, totals, settings) for share in shares]
        )[0]
        self._processes.training()
        return _metrics(means, settings, steps=len(minibatches), sequences=sequences, old=old)

    # ------------------------------------------------------------ checkpoints

    def save(self, path: Path) -> None:
        """DeepSpeed's own state, for as many ranks as wrote it, and the Hugging Face folder ``model/``, or ``adapter/`` alone where one
        is trained."""
        path.mkdir(parents=True, exist_ok=True)
        self._processes.training(optimizer=True)
        self._processes.all_trainers("save", str(path.absolute()))
        write_json(path / _SHAPE, self._shape())

    def load(self, path: Path) -> None:
        """Continue from what ``save`` wrote.

        Raises:
            MissingCheckpoint: a file is absent or damaged, or other ranks wrote it.
        """
        remedy = "restore it or remove the folder"
        try:
            wrote = read_json(path / _SHAPE)
        except (OSError, ValueError) as error:
            raise MissingCheckpoint(f"checkpoint {path} cannot be read ({error}): {remedy}") from None
        if wrote != self._shape():
            raise MissingCheckpoint(
                f"checkpoint {path} was written by {wrote.get('ranks')} ranks with ZeRO stage {wrote.get('zero_stage')}, and this "
                f"cluster has {self._shape()['ranks']} with stage {self._shape()['zero_stage']}: set policy.cluster back to "
                "what wrote it, or remove the run's checkpoints to begin again"
            )
        if not self._processes.adapted:
            check_folder(path / "model")
        self._processes.training(optimizer=True)  # what sleeps in host memory is another state
        self._processes.all_trainers("load", str(path.absolute()))
        self._known = {}
        self._processes.weights_changed()

    def _shape(self) -> dict[str, int]:
        return {"ranks": self._settings.cluster.ranks, "zero_stage": self._settings.cluster.zero_stage}

    # ------------------------------------------------------------

    def close(self) -> None:
        self._processes.close()


def _key(sequence: TrainingSequence) -> bytes:
    return sequence.token_ids.tobytes() + sequence.action_mask.tobytes()


def _totals(sequences: Sequence[TrainingSequence], length: int | None) -> Totals:
    lengths = [int(s.action_mask.sum()) for s in sequences]
    tokens, count = sum(lengths), sum(n > 0 for n in lengths)
    return Totals(float(tokens), float(count), float(tokens if length is None else count * length))


def _metrics(
    means: dict[str, float],
    settings: UpdateSettings,
    *,
    steps: int,
    sequences: Sequence[TrainingSequence],
    old: Sequence[Score],
) -> UpdateMetrics:
    entropy, kl = means["entropy_loss"], means["kl"]
    policy = means["policy_loss"]
    return UpdateMetrics(
        loss=policy + settings.kl_coefficient * kl - settings.entropy_coefficient * entropy,
        policy_loss=policy,
        kl=means["kl_per_token"],
        entropy=means["entropy_per_token"],
        clip_fraction=means["clip_fraction"],
        clip_fraction_high=means["clip_fraction_high"],
        ratio=means["ratio"],
        approx_kl=means["approx_kl"],
        gradient_norm=means["gradient_norm"],
        optimizer_steps=steps,
        tokens=int(sum(s.action_mask.sum() for s in sequences)),
        extra={
            **{name: means[name] for name in ("importance_weight", "importance_clipped") if name in means},
            **sampler_gap(sequences, old),
        },
    )
