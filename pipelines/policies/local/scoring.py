"""Log-probs and exact entropies of the action tokens of whole sequences, many laid end to end in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from pipelines.policies.local.engine import Engine
from pipelines.records import Score, TrainingSequence

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


def collate(
    sequences: Sequence[TrainingSequence], device: torch.device, reference: Sequence[Score] | None = None
) -> Batch:
    def pad(rows: Sequence[np.ndarray]) -> torch.Tensor:
        return pad_sequence([torch.from_numpy(np.ascontiguousarray(row)) for row in rows], batch_first=True).to(device)

    return Batch(
        tokens=torch.from_numpy(np.concatenate([s.token_ids for s in sequences]).astype(np.int64)).to(device),
        lengths=[len(s) for s in sequences],
        mask=pad([s.action_mask[1:] for s in sequences]),
        behaviour_logprobs=pad([s.behaviour_logprobs[1:] for s in sequences]),
        advantages=pad([s.advantages[1:] for s in sequences]),
        reference_logprobs=pad([r.logprobs[1:] for r in reference]) if reference is not None else None,
    )


class Scorer:
    """Of the policy that the engine's model is at this temperature; holds no weights of its own."""

    def __init__(self, engine: Engine, temperature: float) -> None:
        self.engine, self.temperature = engine, temperature

    def token_logprobs(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probs and entropies [B, T − 1] of the action tokens, 0 elsewhere; the output matrix, and what a layer before it can
        leave out, is applied at action positions only."""
        starts = torch.tensor(np.concatenate([[0], np.cumsum(batch.lengths)[:-1]]), device=batch.tokens.device)
        row, column = batch.mask.nonzero(as_tuple=True)
        place = starts[row] + column  # of the token that predicts
        hidden = self.engine.hidden(batch.tokens, batch.lengths, place)
        chosen, entropy = self.engine.logprobs(hidden, batch.tokens[place + 1], temperature=self.temperature)
        zeros = torch.zeros(batch.mask.shape, device=batch.mask.device)
        return zeros.masked_scatter(batch.mask, chosen), zeros.masked_scatter(batch.mask, entropy)

    @torch.no_grad()
    def score(self, sequences: Sequence[TrainingSequence]) -> list[Score]:
        scores: list[Score | None] = [None] * len(sequences)
        for rows in micro_batches([len(s) for s in sequences], _SCORING_TOKENS):
            batch = collate([sequences[i] for i in rows], self.engine.device)
            logprobs, entropies = (found.cpu() for found in self.token_logprobs(batch))
            for row, i in enumerate(rows):
                n = len(sequences[i])
                scores[i] = Score(_shifted(logprobs[row], n), _shifted(entropies[row], n))
        return [s for s in scores if s is not None]


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
