"""The logits behind single tokens, from a model's folder: no learner needs them, only what examines a policy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import torch

from pipelines.policies.local.config import LocalPolicyConfig
from pipelines.policies.local.engine import open_engine
from pipelines.records import TrainingSequence


@torch.no_grad()
def token_logits(
    settings: LocalPolicyConfig,
    model: Path,
    sequences: Sequence[TrainingSequence],
    places: Sequence[tuple[int, int]],
    *,
    temperature: float,
) -> torch.Tensor:
    """float32 [number of places, V]: the tempered logits that token ``place[1]`` ≥ 1 of sequence ``place[0]`` was drawn
    from. ``places`` are sorted. By the engine of the policy's ``settings``, but exactly, and on the CPU.

    Raises:
        MissingCheckpoint, ConfigError: as ``open_engine``.
    """
    engine = open_engine(model, LocalPolicyConfig(engine=settings.engine, device="cpu"), frozen=True)
    parts = []
    for row, of_row in groupby(places, key=lambda place: place[0]):
        before = torch.tensor([token - 1 for _, token in of_row])
        ids = torch.from_numpy(sequences[row].token_ids[: int(before.max()) + 1]).long()
        hidden = engine.hidden(ids, [len(ids)], before)
        parts.append(engine.logits(hidden) / temperature)
    return torch.cat(parts)
