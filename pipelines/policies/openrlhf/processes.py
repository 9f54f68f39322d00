"""The classes that Ray knows: light to import here, heavy where they run. What they are made of begins in ``start``, so that
its errors come back as they are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.policies.openrlhf.patches import error_log
from pipelines.policies.vllm.config import VllmPolicyConfig
from pipelines.protocols import Generation, GenerationRequest

if TYPE_CHECKING:
    from pipelines.policies.vllm.sampler import VllmSampler


class TrainerProcess:
    """A rank of the trainer."""

    def __init__(self) -> None:  # Ray wants one
        self._trainer: Any = None

    def start(self, ranks: int, rank: int, address: str | None, port: int | None) -> None:
        from pipelines.policies.openrlhf.trainer import Trainer

        self._trainer = Trainer(ranks, rank, address, port)

    def log_file(self) -> str:
        return error_log()

    def call(self, method: str, *arguments: Any) -> Any:
        """Of ``trainer.Trainer``."""
        return getattr(self._trainer, method)(*arguments)


class EngineProcess:
    """A vLLM engine. Requests join its batch when they come; between two of its steps weights may be replaced.

    The methods from ``init_process_group`` on are those by which OpenRLHF's trainer hands over weights, GPU to GPU.
    """

    def __init__(self) -> None:
        self._sampler: VllmSampler  # from start on

    async def start(self, model: str, settings: VllmPolicyConfig, place: dict[str, str], sleeps: bool) -> None:
        import ray

        os.environ.update(place)
        if place:
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # this process has none, its workers have
        from openrlhf.trainer.ray.utils import ray_noset_visible_devices

        from pipelines.policies.vllm.sampler import VllmSampler

        if not place and ray_noset_visible_devices() and (booked := ray.get_gpu_ids()):
            os.environ["CUDA_VISIBLE_DEVICES"] = str(booked[0])  # where Ray is told to leave it alone
        extra: dict[str, Any] = {"worker_extension_cls": "openrlhf.trainer.ray.vllm_worker_wrap.WorkerWrap"}
        if sleeps:
            extra["enable_sleep_mode"] = True
        if settings.tensor_parallel > 1:
            extra["distributed_executor_backend"] = "ray"
        if os.environ.get("DS_ACCELERATOR") == "cpu":
            extra.pop("worker_extension_cls")
        self._sampler = VllmSampler(Path(model), settings, **extra)

    async def log_file(self) -> str:
        return error_log()

    async def context_length(self) -> int:
        return self._sampler.context_length

    async def open_rollout(self, episodes: int) -> None:
        self._sampler.open_rollout(episodes)

    async def generate(self, request: GenerationRequest) -> Generation:
        return await self._sampler.generate(request)

    async def measurements(self) -> dict[str, float]:
        return self._sampler.measurements()

    async def reload(self, folder: str) -> None:
        """Weights from a Hugging Face folder of the same model."""
        self._rpc("reload_weights", kwargs={"weights_path": folder})
        self._sampler.engine.reset_prefix_cache()

    async def sleep(self) -> None:
        self._sampler.engine.sleep(level=1)

    async def wake_up(self, tags: Sequence[str]) -> None:
        self._sampler.engine.wake_up(tags=list(tags))

    async def init_process_group(
        self, address: str, port: int, offset: int, world: int, group: str, backend: str, use_ray: bool
    ) -> None:
        self._rpc("init_process_group", args=(address, port, offset, world, group, backend, use_ray))

    async def update_weight(self, name: str, dtype: Any, shape: Any, empty_cache: bool = False) -> None:
        self._rpc("update_weight", args=(name, dtype, shape, empty_cache))

    async def update_weight_cuda_ipc(
        self, name: str, dtype: Any, shape: Any, ipc_handles: Any, empty_cache: bool = False
    ) -> None:
        self._rpc("update_weight_cuda_ipc", args=(name, dtype, shape, ipc_handles, empty_cache))

    async def reset_prefix_cache(self) -> None:
        self._sampler.engine.reset_prefix_cache()

    def _rpc(self, method: str, *, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> None:
        self._sampler.engine.collective_rpc(method, args=args, kwargs=kwargs)
