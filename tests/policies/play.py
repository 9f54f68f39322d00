"""Conversations without an environment, for every sampler: what was asked and what was sampled, turn by turn."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.protocols import Generation, GenerationRequest, Message, Sampler, SamplingSettings
from pipelines.records import TrainingSequence

OBSERVATIONS = (
    "You are in a room. You see a desk 1, a mug 2. Your task is to: put a mug in desk 1.",
    "On the desk 1, you see a mug 1.",
    "Nothing happens.",
    "You pick up the mug 1 from the desk 1.",
)


@dataclass(frozen=True)
class Turn:
    continues: bool
    prompt_ids: list[int]
    generation: Generation


def converse(
    sampler: Sampler,
    *,
    episodes: int = 3,
    turns: int = 3,
    seed: int = 0,
    growing: bool = True,
    stagger: bool = True,
    sampling: SamplingSettings = SamplingSettings(temperature=1.0, max_tokens=9),  # noqa: B008 - frozen
) -> list[list[Turn]]:
    """With ``stagger`` episode i plays ``turns + i`` turns, so that some end before others. ``growing``: one growing
    context; otherwise a fresh context at every turn."""

    async def episode(index: int) -> list[Turn]:
        context: list[int] = []
        played: list[Turn] = []
        for turn in range(turns + index * stagger):
            text = OBSERVATIONS[(turn + index * (turn > 0) * stagger) % len(OBSERVATIONS)]
            continues = growing and turn > 0
            prompt = sampler.codec.chat_prompt([Message("user", text)], continues=continues)
            context = (context if continues else []) + prompt
            request = GenerationRequest(index, tuple(context), seed + 1000 * index + turn, sampling)
            generation = await sampler.generate(request)
            context = context + generation.action_ids.tolist()
            played.append(Turn(continues, prompt, generation))
        sampler.close_episode(index)
        return played

    async def everyone() -> list[list[Turn]]:
        return list(await asyncio.gather(*(episode(i) for i in range(episodes))))

    sampler.open_rollout(episodes)
    return asyncio.run(everyone())


def sequences(conversations: Sequence[Sequence[Turn]], advantage: float = 1.0) -> list[TrainingSequence]:
    """The learner's rows of the conversations; every action token of episode i has advantage ±``advantage``."""
    rows: list[list[tuple[int, Turn, float]]] = []
    for i, conversation in enumerate(conversations):
        for t, turn in enumerate(conversation):
            entry = (t, turn, advantage if i % 2 == 0 else -advantage)
            if turn.continues:
                rows[-1].append(entry)
            else:
                rows.append([entry])
    return [_row(row) for row in rows]


def _row(row: list[tuple[int, Turn, float]]) -> TrainingSequence:
    ids, mask, logprobs, advantages, steps = list[int](), list[bool](), list[float](), list[float](), list[int]()
    for t, turn, advantage in row:
        p, m = len(turn.prompt_ids), len(turn.generation.action_ids)
        ids += turn.prompt_ids + turn.generation.action_ids.tolist()
        mask += [False] * p + [True] * m
        logprobs += [0.0] * p + turn.generation.logprobs.tolist()
        advantages += [0.0] * p + [advantage] * m
        steps += [-1] * p + [t] * m
    return TrainingSequence(
        np.array(ids, np.int32), np.array(mask), np.array(logprobs, np.float32), np.array(advantages, np.float32),
        np.array(steps, np.int32),
    )  # fmt: skip


def same(first: Sequence[Sequence[Turn]], second: Sequence[Sequence[Turn]]) -> bool:
    """Every sampled token, log-prob and entropy is bit-identical."""
    return all(
        a.prompt_ids == b.prompt_ids
        and np.array_equal(a.generation.action_ids, b.generation.action_ids)
        and np.array_equal(a.generation.logprobs, b.generation.logprobs)
        and np.array_equal(a.generation.entropies, b.generation.entropies, equal_nan=True)
        for x, y in zip(first, second, strict=True)
        for a, b in zip(x, y, strict=True)
    )
