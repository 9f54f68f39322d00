"""Time of one iteration, stage by stage, from the work it has and what the GPUs are assumed to reach."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.planning.shapes import ModelShape
from pipelines.planning.workload import Workload
from pipelines.policies.openrlhf.config import OpenrlhfPolicyConfig
from pipelines.policies.openrlhf.planning.assumptions import Assumptions
from pipelines.policies.openrlhf.planning.memory import Micro
from pipelines.policies.openrlhf.planning.offload import offload_seconds


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds of an iteration's parts, and of one evaluation; ``offload``: of these parts, what offloading takes; ``rows``:
    episodes that an engine generates for at once in the first generation batch, ``decoded_per_s`` then; ``trained_per_s``:
    tokens over all GPUs."""

    seconds: dict[str, float]
    offload: float
    evaluation: float
    rows: int
    decoded_per_s: float
    trained_per_s: float

    @property
    def iteration(self) -> float:
        return sum(self.seconds.values())


def training_flops(shape: ModelShape, length: int, *, checkpointed: bool, adapted: bool = False) -> float:
    """Of one token: forward, twice that backward, of a frozen model under an adapter once, and the forward again where activations
    were not kept."""
    return (3 + checkpointed - adapted) * shape.forward_flops(length)


def decode_step_s(
    shape: ModelShape, policy: OpenrlhfPolicyConfig, rows: int, length: int, assumed: Assumptions
) -> float:
    """One token for each of an engine's rows: all weights and the rows' caches are read once, or the products take longer."""
    cluster, width = policy.cluster, policy.bytes_per_value
    size, gpu = cluster.tensor_parallel, cluster.gpu
    read = width * shape.parameters / size + rows * length * shape.cache_bytes(width, size)
    reading = read / (gpu.bandwidth_gb_s * 1e9 * assumed.bandwidth)
    computing = rows * shape.forward_flops(length) / (size * gpu.tflops * 1e12 * assumed.mfu)
    return assumed.decode_step_s + max(reading, computing)


def speed(
    shape: ModelShape,
    policy: OpenrlhfPolicyConfig,
    work: Workload,
    micro: Micro,
    cache_tokens: int,
    assumed: Assumptions,
) -> Speed:
    """The KL loss's reference costs one forward pass, the old log-probs and entropies another."""
    cluster = policy.cluster
    per_s = cluster.gpu.tflops * 1e12 * assumed.mfu
    forward = shape.forward_flops(work.length)
    engines = cluster.engine_gpus // cluster.tensor_parallel

    def rows(episodes: int) -> int:
        return max(1, min(-(-episodes // engines), cache_tokens // work.length))

    def decoded_per_s(episodes: int) -> float:
        at_once = rows(episodes)
        return engines * at_once / decode_step_s(shape, policy, at_once, work.length, assumed)

    def rollout(episodes: int) -> float:
        sequences = work.sequences_of(episodes)
        prefill = sequences * (work.length - work.generated) * forward / (cluster.engine_gpus * per_s)
        return prefill + sequences * work.generated / decoded_per_s(episodes)

    scoring = work.tokens * forward / (cluster.ranks * per_s)
    checkpointed = cluster.checkpoint_activations
    adapted = micro.adapter is not None
    flops = training_flops(shape, work.length, checkpointed=checkpointed, adapted=adapted)
    update = work.tokens * flops / (cluster.ranks * per_s)
    computing = {"score": scoring, "reference": scoring if micro.reference else 0.0, "update": update}
    moving = offload_seconds(shape, policy, work, micro, assumed)
    trainer = {name: computing[name] + moving[name] for name in computing}
    first = work.batches[0]
    return Speed(
        seconds={"rollout": sum(map(rollout, work.batches)), **trainer},
        offload=sum(moving.values()),
        evaluation=sum(map(rollout, work.evaluation_blocks)),
        rows=rows(first),
        decoded_per_s=decoded_per_s(first),
        trained_per_s=work.tokens / trainer["update"],
    )
