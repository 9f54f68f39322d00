"""A policy without a network, for tests: seeded answers, synthetic log-probs, "weights" that are a counter."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pipelines.artifacts import read_json, write_json
from pipelines.config import UpdateSettings
from pipelines.errors import MissingCheckpoint
from pipelines.protocols import Generation, GenerationRequest, Message
from pipelines.records import Score, TrainingSequence, UpdateMetrics

_END = 256
_ANSWERS = (
    "<think>look</think><action>look</action>",
    "<think>carry</think><action>inventory</action>",
    "<think>open</think><action>fly away</action>",
    "no tags at all",
)


def random_answer(seed: int, context: str) -> str:
    """One of a few well-formed and malformed answers."""
    return random.Random(seed).choice(_ANSWERS)


class ByteCodec:
    """UTF-8 bytes as ids; 256 ends a message, 257 and 258 open another's and the assistant's."""

    end_of_message = _END
    ends = frozenset({_END})

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(i for i in ids if i < 256).decode(errors="replace")

    def chat_prompt(self, messages: Sequence[Message], *, continues: bool) -> list[int]:
        return [*(i for message in messages for i in (257, *self.encode(message.content))), 258]

    def message(self, ids: Sequence[int]) -> str:
        return self.decode(ids)


class ScriptedPolicy:
    """``answer(seed, context text) → text`` plays; everything is a function of the request's seed."""

    codec = ByteCodec()
    context_length = 1 << 20

    def __init__(self, answer: Callable[[int, str], str] = random_answer) -> None:
        self._answer = answer
        self.updates = 0

    def open_rollout(self, episodes: int) -> None: ...

    def close_episode(self, episode: int) -> None: ...

    async def generate(self, request: GenerationRequest) -> Generation:
        text = self._answer(request.seed, self.codec.decode(request.context_ids))
        ids = [*self.codec.encode(text)[: request.sampling.max_tokens - 1], _END]
        noise = np.random.Generator(np.random.Philox(key=request.seed)).random(len(ids)).astype(np.float32)
        return Generation(np.array(ids, np.int32), -noise, noise, self.codec.message(ids))

    def score(self, sequences: Sequence[TrainingSequence], *, reference: bool = False) -> list[Score]:
        return [Score(s.behaviour_logprobs, np.where(s.action_mask, 0.5, 0).astype(np.float32)) for s in sequences]

    def update(self, sequences: Sequence[TrainingSequence], settings: UpdateSettings, *, seed: int) -> UpdateMetrics:
        self.updates += 1
        tokens = int(sum(s.action_mask.sum() for s in sequences))
        return UpdateMetrics(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, settings.minibatches(len(sequences)), tokens)

    def save(self, path: Path) -> None:
        (path / "model").mkdir(parents=True, exist_ok=True)
        write_json(path / "model" / "weights.json", {"updates": self.updates})

    def load(self, path: Path) -> None:
        try:
            self.updates = int(read_json(path / "model" / "weights.json")["updates"])
        except (OSError, ValueError, KeyError) as error:
            raise MissingCheckpoint(f"checkpoint {path} cannot be read ({error})") from None

    def measurements(self) -> dict[str, float]:
        return {}

    def close(self) -> None: ...
