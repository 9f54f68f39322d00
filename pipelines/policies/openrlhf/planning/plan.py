"""A run's plan: its work, the memory it needs, the time it takes, and what does not fit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from pipelines.config import ExperimentConfig
from pipelines.errors import ConfigError
from pipelines.policies.openrlhf.cluster_config import ClusterConfig
from pipelines.policies.openrlhf.config import OpenrlhfPolicyConfig
from pipelines.policies.openrlhf.planning import memory
from pipelines.policies.openrlhf.planning.assumptions import ASSUMED, Assumptions
from pipelines.policies.openrlhf.planning.memory import GIB, Micro, Phase
from pipelines.policies.openrlhf.planning.shapes import ModelShape, shape_of
from pipelines.policies.openrlhf.planning.speed import Speed, speed
from pipelines.policies.openrlhf.planning.workload import Workload, workload


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
        )

    @cached_property
    def generation(self) -> Phase:
        return memory.generation_phase(self.shape, self.policy, self.micro, self.assumed)

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """What is in memory at once. Without a GPU nothing sleeps: both phases are."""
        training = memory.training_phase(self.shape, self.policy, self.micro, self.assumed)
        if self.policy.cluster.device == "cpu":
            return (Phase("everything", training.parts | self.generation.parts),)
        return self.generation, training

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
    def misfits(self) -> tuple[str, ...]:
        """What does not fit, with the numbers and the remedy; empty: everything does."""
        found = [self._cache_misfit(), *(self._phase_misfit(phase) for phase in self.phases), self._host_misfit()]
        return tuple(misfit for misfit in found if misfit)

    def _phase_misfit(self, phase: Phase) -> str:
        cluster, over = self.policy.cluster, phase.total / GIB - self.gpu_limit
        if over <= 0:
            return ""
        name, remedy = _largest_with_remedy(phase, cluster)
        return (
            f"{phase.name} needs {phase.total / GIB:.1f} GiB of a GPU's {cluster.gpu.memory_gib:g} less {self.assumed.headroom:.0%} "
            f"of headroom, {over:.1f} too many; {name} takes {phase.parts[name] / GIB:.1f}: {remedy}"
        )

    def _cache_misfit(self) -> str:
        cluster, parts = self.policy.cluster, self.generation.parts
        if self.cache_tokens >= self.work.longest:
            return ""
        budget = cluster.memory_fraction * cluster.gpu.memory_gib
        return (
            f"vLLM's {budget:.1f} GiB (policy.cluster.memory_fraction={cluster.memory_fraction:g}) hold weights of "
            f"{parts['vLLM weights'] / GIB:.1f} and a KV cache of {self.cache_tokens:,} tokens, and a sequence may have "
            f"{self.work.longest:,}: raise policy.cluster.memory_fraction or tensor_parallel"
        )

    def _host_misfit(self) -> str:
        cluster = self.policy.cluster
        over = self.host / GIB - cluster.host_memory_gib
        if over <= 0:
            return ""
        return (
            f"a node's host memory needs {self.host / GIB:.1f} GiB for what is offloaded or sleeps there, {over:.1f} more "
            f"than policy.cluster.host_memory_gib={cluster.host_memory_gib:g}: offload less, or use more nodes"
        )


def _largest_with_remedy(phase: Phase, cluster: ClusterConfig) -> tuple[str, str]:
    """The largest part that a setting makes smaller, and that setting."""
    cuda = cluster.device == "cuda"
    remedies = {
        "weights": "set policy.cluster.zero_stage=3" if cluster.zero_stage < 3 else "",
        "optimizer": "set policy.cluster.offload=optimizer" if cluster.offload == "none" and cuda else "",
        "reference": "set policy.cluster.offload_reference=true" if cluster.zero_stage == 3 and cuda else "",
        "activations": "lower training.micro_batch_tokens"
        if cluster.checkpoint_activations
        else "set policy.cluster.checkpoint_activations=true",
        "logits": "set policy.cluster.logits_chunk_tokens=1024" if cluster.logits_chunk_tokens is None else "",
        "KV cache": "lower policy.cluster.memory_fraction",
    }
    for name in sorted(phase.parts, key=lambda part: -phase.parts[part]):
        if phase.parts[name] and remedies.get(name):
            return name, remedies[name]
    return max(phase.parts, key=lambda part: phase.parts[part]), "use more GPUs, or larger ones"


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
