"""Time of one iteration of ``policy=local``, stage by stage."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.config import PretrainedWarmStart
from pipelines.planning.devices import GpuSettings
from pipelines.planning.shapes import ModelShape
from pipelines.planning.workload import Workload
from pipelines.policies.local.config import LocalPolicyConfig
from pipelines.policies.local.planning.assumptions import Assumptions


@dataclass(frozen=True, slots=True)
class Rates:
    """Of the device: floating-point operations per second, bytes per second when decoding, seconds of a decoding step besides."""

    flops: float
    bytes: float
    step_s: float


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds of an iteration's parts and of one evaluation; tokens per second of a rollout's first steps, and trained."""

    seconds: dict[str, float]
    evaluation: float
    warm_start: float
    decoded_per_s: float
    trained_per_s: float

    @property
    def iteration(self) -> float:
        return sum(self.seconds.values())


def rates(policy: LocalPolicyConfig, gpu: GpuSettings | None, assumed: Assumptions) -> Rates:
    rounded = policy.dtype == "bfloat16"
    if gpu is not None:
        flops = gpu.tflops * 1e12 * assumed.mfu * (1.0 if rounded else assumed.exact)
        return Rates(flops, gpu.bandwidth_gb_s * 1e9 * assumed.bandwidth, assumed.step_s)
    threads = policy.torch_threads
    faster = assumed.rounded if rounded else 1.0
    return Rates(threads * assumed.thread_gflops * 1e9 * faster, threads * assumed.thread_gb_s * 1e9, 0.0)


def token_flops(shape: ModelShape, work: Workload) -> float:
    """Of one token's forward pass, as the mean over a usual sequence: logits are made of the sampled tokens alone."""
    output = 2.0 * shape.output_matrix
    return shape.forward_flops(work.length) - output * (1 - work.generated / work.length)


def speed(
    shape: ModelShape,
    policy: LocalPolicyConfig,
    work: Workload,
    warm_start: PretrainedWarmStart | None,
    device: Rates,
    *,
    reference: bool,
    adapted: bool,
    rereads: float,
    assumed: Assumptions,
) -> Speed:
    """``adapted``: the model is frozen, and no gradient of its weights is made. ``rereads``: how often a sequence's prompt is run,
    once where its keys and values are kept.

    All live episodes are decoded together, at most ``policy.max_episodes``; a sampled token has its log-prob and entropy already, so
    that only the reference is asked again, and in bfloat16 the policy itself.
    """
    width = 2 if policy.dtype == "bfloat16" else 4
    forward = token_flops(shape, work)

    def decoded_per_s(episodes: int) -> float:
        rows = min(episodes, policy.max_episodes or episodes)
        read = width * shape.parameters + rows * work.length * shape.cache_bytes(width, 1)
        step = device.step_s + read / device.bytes + rows * shape.forward_flops(work.length) / device.flops
        return rows / step

    def rollout(played: int) -> float:
        sequences = work.sequences_of(played)
        prefill = sequences * rereads * (work.length - work.generated) * forward / device.flops
        return prefill + sequences * work.generated / decoded_per_s(played)

    passes = 3 + policy.checkpoint_activations - adapted
    trained_per_s = device.flops / (passes * forward)
    shown = repeated = 0.0
    if warm_start is not None:
        shown = warm_start.episodes * assumed.expert_steps * work.tokens / work.episodes
        repeated = 3.0 + warm_start.checkpoint_activations
    return Speed(
        seconds={
            "rollout": sum(map(rollout, work.batches)),
            "reference": work.tokens * forward / device.flops if reference else 0.0,
            "scoring": work.tokens * forward / device.flops if policy.dtype == "bfloat16" else 0.0,
            "update": work.tokens / trained_per_s,
        },
        evaluation=sum(map(rollout, work.evaluation_blocks)),
        warm_start=shown * repeated * forward / device.flops,
        decoded_per_s=decoded_per_s(work.batches[0]),
        trained_per_s=trained_per_s,
    )
