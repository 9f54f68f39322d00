"""``VllmSampler``: one vLLM engine in this process."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.policies.chat_codec import ChatCodec
from pipelines.policies.model_folder import check_folder
from pipelines.policies.vllm.batching import Batching
from pipelines.policies.vllm.config import VllmPolicyConfig
from pipelines.policies.vllm.engine import start_engine
from pipelines.protocols import Generation, GenerationRequest

# Engines that died, kept for good (see Batching).
_DEAD: list[Any] = []


class VllmSampler:
    """Samples from the model in the folder ``model``; its weights never change.

    Each token is drawn by a generator of its request's own, so what is sampled is a function of (weights, context, seed)
    up to the rounding of the batch it falls in.

    Raises:
        MissingCheckpoint, ConfigError: the folder is damaged, or of a model that vLLM does not run.
    """

    def __init__(self, model: Path, settings: VllmPolicyConfig, **engine: Any) -> None:
        check_folder(model)
        self._codec = ChatCodec(model)
        self._exact = settings.entropies == "exact"
        self.engine = start_engine(model, settings, **engine)
        self._counts: Counter[str] = Counter()
        self._batching = Batching(self.engine)

    @property
    def codec(self) -> ChatCodec:
        return self._codec

    @property
    def context_length(self) -> int:
        return int(self.engine.model_config.max_model_len)

    def open_rollout(self, episodes: int) -> None:
        if self._exact:
            from pipelines.policies.vllm.entropy import forget

            forget()
        self.engine.reset_prefix_cache()  # every rollout starts the same: no bit depends on what was played before

    def close_episode(self, episode: int) -> None: ...

    async def generate(self, request: GenerationRequest) -> Generation:
        """Raises EngineDied."""
        from pipelines.policies.vllm.entropy import take

        output = await self._batching.complete(request.context_ids, self._sampling(request))
        answer = output.outputs[0]
        ids = list(answer.token_ids)
        self._counts.update(
            requests=1,
            prompt_tokens=len(request.context_ids),
            cached_tokens=output.num_cached_tokens or 0,
            tokens=len(ids),
        )
        logprobs = [found[token].logprob for token, found in zip(ids, answer.logprobs, strict=True)]
        entropies = take(request.episode, len(ids)) if self._exact else [float("nan")] * len(ids)
        return Generation(
            action_ids=np.array(ids, np.int32),
            logprobs=np.array(logprobs, np.float32),
            entropies=np.array(entropies, np.float32),
            text=self._codec.message(ids),
        )

    def _sampling(self, request: GenerationRequest) -> Any:
        """The whole vocabulary takes part (no top-k, top-p, penalties), and only the ends that the model declares end it."""
        from vllm import SamplingParams

        return SamplingParams(
            temperature=request.sampling.temperature,
            max_tokens=request.sampling.max_tokens,
            seed=request.seed,
            logprobs=0,  # of the sampled token alone
            stop_token_ids=sorted(self._codec.ends),
            ignore_eos=True,
            detokenize=False,
            extra_args={"episode": request.episode} if self._exact else None,
        )

    def measurements(self) -> dict[str, float]:
        """Counts since last asked, the seconds in which the engine worked, and its steps; nothing: nothing was asked."""
        counts, work = self._counts, self._batching.take_work()
        self._counts = Counter()
        if not counts["requests"]:
            return {}
        return {f"vllm/{name}": float(value) for name, value in counts.items()} | {
            "vllm/seconds": work.seconds,
            "vllm/steps": float(work.steps),
            "vllm/tokens_per_s": counts["tokens"] / max(work.seconds, 1e-9),
        }

    def close(self) -> None:
        if self._batching.death is not None:
            _DEAD.append(self.engine)
            return
        self.engine.engine_core.shutdown()
