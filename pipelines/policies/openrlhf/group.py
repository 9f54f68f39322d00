"""The live processes of one policy: engines and trainer's ranks, who sleeps while the other works, and how they end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipelines.config import LoraSettings
from pipelines.policies.openrlhf import cluster as ray_cluster
from pipelines.policies.openrlhf.config import OpenrlhfPolicyConfig
from pipelines.policies.openrlhf.processes import EngineProcess, TrainerProcess
from pipelines.policies.vllm.config import VllmPolicyConfig
from pipelines.protocols import Generation, GenerationRequest

_REQUESTS = 1000  # that wait in an engine at once
_SHARE = 0.2  # of a GPU that Ray books for vLLM's process and for a rank each, where they take turns on it


class Processes:
    """Started together, closed together. Raises ConfigError and whatever a process says of itself at the start."""

    def __init__(
        self,
        model: Path,
        settings: OpenrlhfPolicyConfig,
        temperature: float,
        longest: int | None,
        adapter: LoraSettings | None = None,
    ) -> None:
        self._settings, self._cluster, self._adapter = settings, settings.cluster, adapter
        self.adapted = adapter is not None
        self._takes_turns = self._cluster.device == "cuda" and self._cluster.placement == "colocated"
        self._engines_awake = self._optimizer_awake = True
        self._engines: list[Any] = []
        self._trainers: list[Any] = []
        self._handover: Path | None = None
        self._stale = False  # the engines' weights
        self._group: Any = None
        self._closed = False
        ray_cluster.join(self._cluster)
        try:
            self._start(model, temperature, longest)
        except BaseException:
            self.close()
            raise

    def _start(self, model: Path, temperature: float, longest: int | None) -> None:
        self._group = group = ray_cluster.places(self._cluster)
        order = ray_cluster.by_node(group, self._cluster.tensor_parallel)
        for_engines, for_ranks = self._split(order)
        size = self._cluster.tensor_parallel
        places = [for_engines[i : i + size] for i in range(0, len(for_engines), size)]
        self._engines = [self._process(EngineProcess, group, each[0], engine=True) for each in places]
        self._trainers = [self._process(TrainerProcess, group, place, engine=False) for place in for_ranks]
        everyone = [*self._engines, *self._trainers]
        self._logs = dict.fromkeys(everyone, "")
        self._logs = dict(zip(everyone, self._ask(everyone, "log_file"), strict=True))
        settings, ranks, first = _engine_settings(self._settings, longest), len(for_ranks), self._trainers[0]
        engines = [
            (process, "start", str(model), settings, self._place(each), self._takes_turns)
            for process, each in zip(self._engines, places, strict=True)
        ]
        self._call([*engines, (first, "start", ranks, 0, None, None)])
        address, port = self._call([(first, "call", "get_master_addr_port")])[0]
        self._call([(p, "start", ranks, rank, address, port) for rank, p in enumerate(self._trainers) if rank])
        self.context_length = int(self._ask(self._engines[:1], "context_length")[0])
        self._sleep_engines()
        receivers = self._engines if self._cluster.device == "cuda" else None
        self.all_trainers("initialize", str(model), self._settings, temperature, receivers, self._adapter)
        self._optimizer_sleeps()

    def _split(self, order: list[int]) -> tuple[list[int], list[int]]:
        own = self._cluster.generation_gpus
        return (order, order) if self._cluster.placement == "colocated" else (order[:own], order[own:])

    def _process(self, kind: type, group: Any, place: int, *, engine: bool) -> Any:
        import ray

        spread = engine and self._cluster.tensor_parallel > 1  # its workers take the GPUs
        options = self._at(group, place, 0.0 if spread else self._gpus())
        if engine:
            options["max_concurrency"] = _REQUESTS
        return ray.remote(kind).options(**options).remote()

    def _place(self, places: Sequence[int]) -> dict[str, str]:
        """For the Ray workers of an engine that spans several GPUs, by vLLM's own names."""
        if len(places) == 1:
            return {}
        return {"VLLM_RAY_PER_WORKER_GPUS": str(self._gpus()), "VLLM_RAY_BUNDLE_INDICES": ",".join(map(str, places))}

    def _gpus(self) -> float:
        if self._cluster.device == "cpu":
            return 0.0
        return _SHARE if self._takes_turns else 1.0

    @staticmethod
    def _at(group: Any, place: int, gpus: float) -> dict[str, Any]:
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        where = PlacementGroupSchedulingStrategy(
            placement_group=group, placement_group_bundle_index=place, placement_group_capture_child_tasks=True
        )
        return {"num_cpus": 0, "num_gpus": gpus, "scheduling_strategy": where}

    # ------------------------------------------------------------ asking

    def _call(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Each: the process, its method and the arguments; all at once."""
        refs = [getattr(process, method).remote(*arguments) for process, method, *arguments in calls]
        return ray_cluster.gather(refs, [self._logs[process] for process, *_ in calls])

    def _ask(self, processes: Sequence[Any], method: str, *arguments: Any) -> list[Any]:
        return self._call([(process, method, *arguments) for process in processes])

    def trainers(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Each rank its own call: the method's name and its arguments."""
        return self._call([(rank, "call", *call) for rank, call in zip(self._trainers, calls, strict=True)])

    def all_trainers(self, method: str, *arguments: Any) -> list[Any]:
        return self.trainers([(method, *arguments)] * len(self._trainers))

    async def generate(self, request: GenerationRequest) -> Generation:
        """Raises WorkerDied, EngineDied."""
        engine = self._engines[request.episode % len(self._engines)]
        try:
            generation: Generation = await engine.generate.remote(request)
        except Exception as error:
            raise ray_cluster.translated(error, self._logs[engine]) from error
        return generation

    def open_rollout(self, episodes: int) -> None:
        self._ask(self._engines, "open_rollout", episodes)

    def measurements(self) -> dict[str, float]:
        """Of engines and ranks, since last asked: the engines' counts added up, of the ranks' gauges the largest."""
        engines, ranks = self._ask(self._engines, "measurements"), self.all_trainers("measurements")
        names = sorted({name for each in engines for name in each})
        found = {name: sum(each.get(name, 0.0) for each in engines) for name in names}
        return found | {f"trainer/{name}": max(each[name] for each in ranks) for name in ranks[0]}

    # ------------------------------------------------------------ whose turn it is (one GPU, two users)

    def weights_changed(self) -> None:
        """The trainer's weights are no longer the engines'."""
        self._stale = True

    def generating(self) -> None:
        """The engines are awake and have the trainer's weights, the optimizer's state waits in host memory."""
        if self._stale:
            self._hand_over_weights()
            self._stale = False
        self._optimizer_sleeps()
        if not self._engines_awake:
            self.all_trainers("empty_cache")
            self._ask(self._engines, "wake_up", ["weights", "kv_cache"])
            self._engines_awake = True

    def training(self, *, optimizer: bool = False) -> None:
        """The engines sleep; ``optimizer``: its state is there, as an update needs it."""
        self._sleep_engines()
        if optimizer and not self._optimizer_awake:
            self.all_trainers("reload_states")
            self._optimizer_awake = True
        elif not optimizer:
            self._optimizer_sleeps()

    def _sleep_engines(self) -> None:
        if self._takes_turns and self._engines_awake:
            self._ask(self._engines, "sleep")
            self._engines_awake = False

    def _optimizer_sleeps(self) -> None:
        if self._takes_turns and self._optimizer_awake:
            self.all_trainers("offload_states")
            self._optimizer_awake = False

    def _hand_over_weights(self) -> None:
        """The engines sample from the trainer's weights from now on."""
        if self._cluster.device == "cpu":  # vLLM packs them there as it loads them: by way of a folder
            self._handover = self._handover or Path(tempfile.mkdtemp(prefix="empg-weights-"))
            self.all_trainers("export_for_engines", str(self._handover))
            self._ask(self._engines, "reload", str(self._handover))
            return
        self._optimizer_sleeps()
        if not self._engines_awake:
            self._ask(self._engines, "wake_up", ["weights"])
        self.all_trainers("synchronize")
        if not self._engines_awake:
            self._ask(self._engines, "wake_up", ["kv_cache"])
            self._engines_awake = True

    def close(self) -> None:
        """Once; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        import ray

        for process in [*self._engines, *self._trainers]:
            with suppress(Exception):
                ray.kill(process)
        if self._group is not None:
            with suppress(Exception):
                ray.util.remove_placement_group(self._group)
        self._engines, self._trainers, self._group = [], [], None
        if self._handover is not None:
            shutil.rmtree(self._handover, ignore_errors=True)
        ray_cluster.leave()


def _engine_settings(settings: OpenrlhfPolicyConfig, longest: int | None) -> VllmPolicyConfig:
    cluster = settings.cluster
    return VllmPolicyConfig(
        dtype=settings.dtype,
        context_length=longest,
        tensor_parallel=cluster.tensor_parallel,
        eager=cluster.device == "cpu",
        memory_fraction=cluster.memory_fraction,
    )
