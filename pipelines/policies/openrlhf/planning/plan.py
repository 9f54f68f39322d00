"""A run's plan: its work, the memory it needs, the time it takes, and what does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from pipelines.config import ExperimentConfig, LoraSettings
from pipelines.errors import ConfigError
from pipelines.planning import advice
from pipelines.planning.memory import GIB, Phase
from pipelines.planning.shapes import ModelShape, shape_of
from pipelines.planning.workload import Workload, workload
from pipelines.policies.openrlhf.config import OpenrlhfPolicyConfig
from pipelines.policies.openrlhf.planning import memory
from pipelines.policies.openrlhf.planning.assumptions import ASSUMED, Assumptions
from pipelines.policies.openrlhf.planning.memory import Micro
from pipelines.policies.openrlhf.planning.speed import Speed, speed


@dataclass(frozen=True)
class Plan:
    """Everything is reckoned when it is asked for, from the configuration alone."""

    experiment: ExperimentConfig
    policy: OpenrlhfPolicyConfig
    shape: ModelShape
    assumed: Assumptions

    @cached_property
    def work(self) -> Workload:
        return workload(self.experiment, self.shape.context_length, self.assumed)

    @cached_property
    def micro(self) -> Micro:
        training = self.experiment.training
        return Micro(
            tokens=max(training.micro_batch_tokens, self.work.longest),
            reference=training.kl_coefficient > 0,
            entropy=training.entropy_coefficient > 0,
            adapter=training.adapter,
        )

    @cached_property
    def generation(self) -> Phase:
        return memory.generation_phase(self.shape, self.policy, self.micro, self.assumed)

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """What is in memory at once. Without a GPU nothing sleeps: both phases are."""
        training = memory.training_phases(self.shape, self.policy, self.micro, self.assumed)
        if self.policy.cluster.device == "cpu":
            return tuple(Phase(phase.name, phase.parts | self.generation.parts) for phase in training)
        return self.generation, *training

    @property
    def at_once(self) -> int | None:
        """Not reckoned: without GPUs, what one takes is what its cluster is set to."""
        return None

    @property
    def gpu_limit(self) -> float:
        """GiB of a GPU that may be planned with."""
        return self.policy.cluster.gpu.memory_gib * (1 - self.assumed.headroom)

    @cached_property
    def host_parts(self) -> dict[str, float]:
        """Bytes of a node's host memory."""
        return memory.host_parts(self.shape, self.policy, self.micro)

    @property
    def host(self) -> float:
        return sum(self.host_parts.values())

    @cached_property
    def cache_tokens(self) -> int:
        return memory.cache_tokens(self.shape, self.policy, self.generation)

    @cached_property
    def speed(self) -> Speed:
        return speed(self.shape, self.policy, self.work, self.micro, self.cache_tokens, self.assumed)

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return (
            self.experiment.training.iterations * self.speed.iteration + self.work.evaluations * self.speed.evaluation
        )

    @property
    def warm_start_seconds(self) -> float:
        """Not reckoned: imitation is one process of its own, before this machine's."""
        return 0.0

    @property
    def gpus(self) -> int:
        """None without CUDA, where a GPU stands for a process."""
        return self.policy.cluster.gpus if self.policy.cluster.device == "cuda" else 0

    @property
    def assumptions(self) -> str:
        return self.assumed.sentence()

    def rows(self, runs: int) -> Iterable[tuple[str, str]]:
        from pipelines.policies.openrlhf.planning.rows import rows

        return rows(self, runs)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What runs and is worth knowing."""
        work, ranks = self.work, self.policy.cluster.ranks
        smallest, more = divmod(work.sequences, work.minibatches)
        if not more and not smallest % ranks:
            return ()
        rows = f"{smallest:,} or {smallest + 1:,}" if more else f"{smallest:,}"
        return (
            f"a mini-batch of {rows} sequences does not divide evenly among {ranks} ranks: OpenRLHF needs as many rows on each, so "
            "those with fewer are filled up with empty rows, which take time and change nothing",
        )

    @cached_property
    def excess(self) -> dict[str, float]:
        """GiB too many, of each phase, of the KV cache and of the host; empty: everything fits."""
        cluster = self.policy.cluster
        per_token = self.shape.cache_bytes(self.policy.bytes_per_value, cluster.tensor_parallel)
        over = {
            "KV cache": (self.work.longest * per_token - self.generation.parts["KV cache"]) / GIB,
            **{phase.name: phase.total / GIB - self.gpu_limit for phase in self.phases},
            "host": self.host / GIB - cluster.host_memory_gib,
        }
        return {name: gib for name, gib in over.items() if gib > 0}

    @cached_property
    def misfits(self) -> tuple[str, ...]:
        """What does not fit, with the numbers; empty: everything does."""
        return tuple(self._misfit(name, over) for name, over in self.excess.items())

    def _misfit(self, name: str, over: float) -> str:
        cluster, parts = self.policy.cluster, self.generation.parts
        if name == "KV cache":
            budget = cluster.memory_fraction * cluster.gpu.memory_gib
            return (
                f"vLLM's {budget:.1f} GiB (policy.cluster.memory_fraction={cluster.memory_fraction:g}) hold weights of "
                f"{parts['vLLM weights'] / GIB:.1f} and a KV cache of {self.cache_tokens:,} tokens, and a sequence may have "
                f"{self.work.longest:,}"
            )
        if name == "host":
            return (
                f"a node's host memory needs {self.host / GIB:.1f} GiB for what is offloaded or sleeps there, {over:.1f} more "
                f"than policy.cluster.host_memory_gib={cluster.host_memory_gib:g}"
            )
        phase = next(phase for phase in self.phases if phase.name == name)
        largest = max(phase.parts, key=lambda part: phase.parts[part])
        return (
            f"{name} needs {phase.total / GIB:.1f} GiB of a GPU's {cluster.gpu.memory_gib:g} less {self.assumed.headroom:.0%} of "
            f"headroom, {over:.1f} too many; {largest} takes {phase.parts[largest] / GIB:.1f}"
        )

    @cached_property
    def remedy(self) -> str:
        if self.micro.adapter is None and advice.remedy(self) is None:
            spread = {"policy.cluster.zero_stage": 2, "policy.cluster.offload": "none"}
            adapted = self.changed({"training.adapter": LoraSettings(), **spread})
            if (said := advice.by_adapter(adapted, {"training.adapter": "lora", **spread})) is not None:
                return said
        return advice.said(self, "use more GPUs, larger ones, or nodes with more memory")

    def changes(self) -> Iterator[advice.Change]:
        """What could be set otherwise, without another objective and on the same machines."""
        cluster, cuda = self.policy.cluster, self.policy.cluster.device == "cuda"
        spreads = self.micro.adapter is None  # ZeRO-3, which trains no adapter
        tokens = self.experiment.training.micro_batch_tokens
        while tokens // 2 >= self.work.longest:
            tokens //= 2
            yield {"training.micro_batch_tokens": tokens}
        if cluster.logits_chunk_tokens is None:
            yield {"policy.cluster.logits_chunk_tokens": 1024}
        if not cluster.checkpoint_activations:
            yield {"policy.cluster.checkpoint_activations": True}
        if spreads and cluster.zero_stage < 3 and cluster.ranks > 1:
            yield {"policy.cluster.zero_stage": 3}
        if cuda and cluster.offload == "none":
            yield {"policy.cluster.offload": "optimizer"}
        if spreads and cuda and cluster.offload != "parameters":
            yield {"policy.cluster.zero_stage": 3, "policy.cluster.offload": "parameters"}
        if spreads and cuda and self.micro.reference and not cluster.offload_reference:
            yield {"policy.cluster.zero_stage": 3, "policy.cluster.offload_reference": True}
        yield from ({"policy.cluster.memory_fraction": round(0.05 * n, 2)} for n in range(1, 19))

    def changed(self, change: advice.Change) -> Plan:
        cluster, training, prefix = {}, {}, "policy.cluster."
        for key, value in change.items():
            if key.startswith(prefix):
                cluster[key.removeprefix(prefix)] = value
            else:
                training[key.removeprefix("training.")] = value
        policy = self.policy.model_copy(update={"cluster": self.policy.cluster.model_copy(update=cluster)})
        sized = self.experiment.training.model_copy(update=training)
        experiment = self.experiment.model_copy(update={"policy": policy, "training": sized})
        return Plan(experiment, policy, self.shape, self.assumed)


def make_plan(experiment: ExperimentConfig, policy: OpenrlhfPolicyConfig, assumed: Assumptions = ASSUMED) -> Plan:
    """``policy``: the experiment's own.

    Raises:
        ConfigError: the model is unknown, or cannot be spread like this.
    """
    shape = shape_of(experiment.model)
    size = policy.cluster.tensor_parallel
    if shape.heads % size or max(size, shape.kv_heads) % min(size, shape.kv_heads):
        raise ConfigError(
            f"policy.cluster.tensor_parallel={size} does not divide {experiment.model.name}'s {shape.heads} attention heads "
            f"and {shape.kv_heads} KV heads: choose a common divisor"
        )
    return Plan(experiment, policy, shape, assumed)
