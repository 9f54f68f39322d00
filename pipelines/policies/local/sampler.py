"""``LocalSampler``: rounds of all live episodes, decoded together from the weights as they are."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pipelines.policies.chat_codec import ChatCodec
from pipelines.policies.local.decoding import Decoder
from pipelines.policies.local.parameters import Qwen2Parameters
from pipelines.policies.local.transformer import rotations, weights_of
from pipelines.protocols import Generation, GenerationRequest
from pipelines.rounds import Rounds


class LocalSampler:
    """``model``: shared with the learner, which changes it between two rollouts, never during one."""

    def __init__(self, model: Qwen2Parameters, codec: ChatCodec) -> None:
        self._model, self._codec = model, codec
        self._decoder: Decoder | None = None
        self._at = 0  # the model's version in the rollout that is open
        self._rounds: Rounds[GenerationRequest, Generation] = Rounds(self._generate_round)

    @property
    def codec(self) -> ChatCodec:
        return self._codec

    @property
    def context_length(self) -> int:
        return self._model.shape.context_length

    def open_rollout(self, episodes: int) -> None:
        with torch.inference_mode():
            weights = weights_of(self._model, rotations(self._model))
            self._decoder = Decoder(weights, episodes, self._codec.ends)
        self._at = self._model.version
        self._rounds.open(episodes)

    def close_episode(self, episode: int) -> None:
        self._rounds.leave(episode)
        if not self._rounds.live:
            self._decoder = None  # its cache is large, and an update needs the room

    async def generate(self, request: GenerationRequest) -> Generation:
        return await self._rounds.ask(request.episode, request)

    def _generate_round(self, rows: Sequence[tuple[int, GenerationRequest]]) -> list[Generation]:
        if self._decoder is None or self._at != self._model.version:
            raise RuntimeError("open_rollout first: the weights have changed since the last one")
        sampled = self._decoder.generate([request for _, request in rows])
        return [Generation(s.ids, s.logprobs, s.entropies, self._codec.message(s.ids.tolist())) for s in sampled]

    def measurements(self) -> dict[str, float]:
        return {}

    def close(self) -> None:
        self._decoder = None
