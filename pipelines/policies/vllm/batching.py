"""Continuous batching for coroutines: who asks joins the engine's batch at its next step, and waits for nobody else."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from pipelines.errors import EngineDied

if TYPE_CHECKING:
    from vllm.outputs import RequestOutput
    from vllm.v1.engine.llm_engine import LLMEngine


@dataclass
class Work:
    """What the engine did: seconds within its steps, and their number."""

    seconds: float = 0.0
    steps: int = 0


class Batching:
    """Steps the engine for as long as anybody waits, on the event loop of those who wait (each rollout has its own).

    Episodes run between two steps, never during one: with environments that answer in rounds, the batches depend on the
    episodes alone.
    """

    def __init__(self, engine: LLMEngine) -> None:
        self._engine = engine
        self._numbers = count()
        self._waiting: dict[str, asyncio.Future[RequestOutput]] = {}
        self._steps: asyncio.Task[None] | None = None
        self._work = Work()
        self.death: EngineDied | None = None

    async def complete(self, context_ids: Sequence[int], sampling: Any) -> RequestOutput:
        """The finished request. Cancelled, it leaves the engine too. Raises EngineDied, from then on always."""
        from vllm.inputs import tokens_input

        if self.death is not None:
            raise self.death
        name, future = str(next(self._numbers)), asyncio.get_running_loop().create_future()
        self._engine.add_request(name, tokens_input(list(context_ids)), sampling)
        self._waiting[name] = future
        if self._steps is None or self._steps.done():
            self._steps = asyncio.create_task(self._step_while_needed())
        try:
            return await future
        finally:
            if self._waiting.pop(name, None) is not None and self.death is None:
                self._engine.abort_request([name])

    def take_work(self) -> Work:
        """What was done since this was last asked."""
        taken, self._work = self._work, Work()
        return taken

    async def _step_while_needed(self) -> None:
        while self._waiting:
            await asyncio.sleep(0)  # whoever can ask by now does, and is in the batch
            start = time.monotonic()
            try:
                finished = [output for output in self._engine.step() if output.finished]
            except Exception as error:
                self._die(error)
                return
            self._work.seconds += time.monotonic() - start
            self._work.steps += 1
            for output in finished:
                future = self._waiting.pop(output.request_id, None)
                if future is not None and not future.done():
                    future.set_result(output)

    def _die(self, error: Exception) -> None:
        last = (str(error).strip().splitlines() or [""])[-1]
        self.death = EngineDied(
            f"vLLM's engine died while generating ({type(error).__name__}: {last}); what was finished stays: launch again "
            "to continue. If memory was short, lower policy.max_episodes, policy.kv_cache_gb or policy.memory_fraction"
        )
        self.death.__cause__ = error
        # What the engine leaves must never be collected: its queues would wait for ever for dead workers to read them.
        gc.freeze()
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(self.death)
