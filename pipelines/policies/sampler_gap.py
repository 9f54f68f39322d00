"""How far what a sampler says of its tokens is from what a scoring pass says: two engines, or one that rounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.records import Score, TrainingSequence


def sampler_gap(sequences: Sequence[TrainingSequence], scores: Sequence[Score]) -> dict[str, float]:
    """|Δ log p| over all action tokens, mean and maximum, as ``UpdateMetrics.extra`` holds them."""
    pairs = zip(sequences, scores, strict=True)
    gaps = np.abs(np.concatenate([(score.logprobs - row.behaviour_logprobs)[row.action_mask] for row, score in pairs]))
    return {"sampler_gap_mean": float(gaps.mean()), "sampler_gap_max": float(gaps.max())}
