"""``OpenrlhfSampler``: vLLM's engines in Ray processes, whose weights are the trainer's."""

from __future__ import annotations

from pipelines.policies.chat_codec import ChatCodec
from pipelines.policies.openrlhf.group import Processes
from pipelines.protocols import Generation, GenerationRequest


class OpenrlhfSampler:
    """What is sampled is a function of (weights, context, seed), up to the rounding of the batch it falls in, and that
    depends on when requests come: two runs agree in their numbers, not in every bit."""

    def __init__(self, processes: Processes, codec: ChatCodec) -> None:
        self._processes, self._codec = processes, codec

    @property
    def codec(self) -> ChatCodec:
        return self._codec

    @property
    def context_length(self) -> int:
        return self._processes.context_length

    def open_rollout(self, episodes: int) -> None:
        self._processes.generating()
        self._processes.open_rollout(episodes)

    def close_episode(self, episode: int) -> None: ...

    async def generate(self, request: GenerationRequest) -> Generation:
        """An episode stays with its engine, which has its context cached. Raises EngineDied."""
        return await self._processes.generate(request)

    def measurements(self) -> dict[str, float]:
        return self._processes.measurements()

    def close(self) -> None:
        self._processes.close()
