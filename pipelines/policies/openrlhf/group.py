"""The live processes of one policy: engines and trainer's ranks, who sleeps while the other works, and how they end."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipelines.config import OpenrlhfPolicyConfig, VllmPolicyConfig
from pipelines.policies.openrlhf import cluster as ray_cluster
from pipelines.policies.openrlhf.processes import EngineProcess, TrainerProcess
from pipelines.protocols import Generation, GenerationRequest

_SHARE = 0.2  # of a GPU that Ray books for vLLM's process and for a rank each, where they take turns on it


class Processes:
    """Started together, closed together. Raises ConfigError and whatever a process says of itself at the start."""

    def __init__(self, model: Path, settings: OpenrlhfPolicyConfig, temperature: float, longest: int | None) -> None:
        self._settings, self._cluster = settings, settings.cluster
        self._takes_turns = self._cluster.device == "cuda" and self._cluster.placement == "colocated"
        self._engines_awake = self._optimizer_awake = True
        self._engines: list[Any] = []
        self._trainers: list[Any] = []
        self._handover = Path(tempfile.mkdtemp(prefix="empg-weights-"))
        ray_cluster.join(self._cluster)
        try:
            self._start(model, temperature, longest)
        except BaseException:
            self.close()
            raise

    def _start(self, model: Path, temperature: float, longest: int | None) -> None:
        group = ray_cluster.places(self._cluster)
        self._group = group
        order = ray_cluster.by_node(group)
        for_engines, for_ranks = self._split(order)
        size = self._cluster.tensor_parallel
        engine = _engine_settings(self._settings, longest)
        self._engines = [
            self._engine(group, for_engines[i : i + size], str(model), engine) for i in range(0, len(for_engines), size)
        ]
        first = self._trainer(group, for_ranks[0], 0, None, None)
        self._trainers = [first]
        address, port = self._wait([first.call.remote("get_master_addr_port")])[0]
        self._trainers += [
            self._trainer(group, place, rank, address, port) for rank, place in enumerate(for_ranks) if rank
        ]
        everyone = [*self._engines, *self._trainers]
        self._logs = dict(zip(everyone, self._wait([p.log_file.remote() for p in everyone]), strict=True))
        self.context_length = int(self._ask(self._engines[:1], "context_length")[0])
        self._sleep_engines()
        engines = self._engines if self._cluster.device == "cuda" else None
        self.all_trainers("initialize", str(model), self._settings, temperature, engines)
        self._optimizer_sleeps()

    def _split(self, order: list[int]) -> tuple[list[int], list[int]]:
        own = self._cluster.generation_gpus
        return (order, order) if self._cluster.placement == "colocated" else (order[:own], order[own:])

    def _engine(self, group: Any, places: list[int], model: str, settings: VllmPolicyConfig) -> Any:
        import ray

        gpus, environment = self._gpus(), dict[str, str]()
        if settings.tensor_parallel > 1:  # its workers are Ray's own, at these places
            environment = {
                "VLLM_RAY_PER_WORKER_GPUS": str(gpus), "VLLM_RAY_BUNDLE_INDICES": ",".join(map(str, places)),
            }  # fmt: skip
            gpus = 0.0
        options = self._at(group, places[0], gpus)
        actor = ray.remote(EngineProcess).options(max_concurrency=1000, **options)
        return actor.remote(model, settings, environment, self._takes_turns)

    def _trainer(self, group: Any, place: int, rank: int, address: str | None, port: int | None) -> Any:
        import ray

        actor = ray.remote(TrainerProcess).options(**self._at(group, place, self._gpus()))
        return actor.remote(self._cluster.ranks, rank, address, port)

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

    def _wait(self, refs: Sequence[Any]) -> list[Any]:
        return ray_cluster.gather(refs, [""] * len(refs))

    def _ask(self, processes: Sequence[Any], method: str, *arguments: Any) -> list[Any]:
        refs = [getattr(process, method).remote(*arguments) for process in processes]
        return ray_cluster.gather(refs, [self._logs[process] for process in processes])

    def trainers(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Each rank its own call: the method's name and its arguments."""
        refs = [rank.call.remote(*call) for rank, call in zip(self._trainers, calls, strict=True)]
        return ray_cluster.gather(refs, [self._logs[rank] for rank in self._trainers])

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
        """Of engines and ranks, since last asked: sums of counts, the largest of peaks."""
        start = time.monotonic()
        engines, ranks = self._ask(self._engines, "measurements"), self.all_trainers("measurements")
        names = sorted({name for each in engines for name in each})
        found = {name: sum(each.get(name, 0.0) for each in engines) for name in names}
        found |= {f"trainer/{name}": max(each[name] for each in ranks) for name in ranks[0]}
        return found | {"ray/round_trip_s": time.monotonic() - start}

    # ------------------------------------------------------------ whose turn it is (one GPU, two users)

    def generating(self) -> None:
        """The engines are awake, the optimizer's state waits in host memory."""
        self._optimizer_sleeps()
        if not self._engines_awake:
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

    def hand_over_weights(self) -> None:
        """The engines sample from the trainer's weights from now on."""
        if self._cluster.device == "cpu":  # vLLM packs them there as it loads them: by way of a folder
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
        import ray

        for process in [*self._engines, *self._trainers]:
            with suppress(Exception):
                ray.kill(process)
        if getattr(self, "_group", None) is not None:
            with suppress(Exception):
                ray.util.remove_placement_group(self._group)
        self._engines, self._trainers, self._group = [], [], None
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
