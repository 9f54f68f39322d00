"""A plan in lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.config import LoraSettings
from pipelines.planning import rows as shared
from pipelines.planning.memory import GIB
from pipelines.policies.openrlhf.cluster_config import ClusterConfig
from pipelines.policies.openrlhf.config import OpenrlhfPolicyConfig
from pipelines.policies.openrlhf.planning.plan import Plan


def rows(planned: Plan, runs: int) -> Iterator[tuple[str, str]]:
    """See ``pipelines.sections.Plan.rows``."""
    experiment, cluster = planned.experiment, planned.policy.cluster
    yield "stages", shared.stages(experiment, planned.work)
    yield from zip(("iteration", ""), shared.iteration(experiment, planned.work, planned.micro.tokens), strict=True)
    yield "cluster", _cluster(cluster)
    yield "", _training(planned.policy, planned.micro.adapter)
    yield from shared.memory(
        "GiB per GPU", planned.phases, planned.gpu_limit, cluster.gpu.memory_gib, planned.assumed.headroom
    )
    yield "GiB per node", _host(planned)
    yield from zip(("time", ""), _time(planned, runs), strict=True)
    yield from (("remark", remark) for remark in planned.remarks)
    yield from shared.verdict(planned, f"with {planned.assumed.headroom:.0%} of each GPU's memory to spare")


def _cluster(cluster: ClusterConfig) -> str:
    nodes = f"{cluster.nodes} node{'s' if cluster.nodes > 1 else ''} × {cluster.gpus_per_node} {cluster.gpu.name}"
    engines = cluster.engine_gpus // cluster.tensor_parallel
    own = f" on {cluster.generation_gpus} GPUs of their own" if cluster.placement == "separate" else ""
    return (
        f"{nodes}, {cluster.placement}: {engines} vLLM engine{'s' if engines > 1 else ''} of tensor parallel "
        f"{cluster.tensor_parallel}{own}, {cluster.memory_fraction:.0%} of a GPU"
    )


def _training(policy: OpenrlhfPolicyConfig, adapter: LoraSettings | None) -> str:
    cluster, ranks = policy.cluster, f"{policy.cluster.ranks} rank{'s' if policy.cluster.ranks > 1 else ''}"
    said = [f"trainer on {ranks} in {policy.dtype}: ZeRO-{cluster.zero_stage}"]
    said += [f"LoRA of rank {adapter.rank}"] if adapter else []
    said += [f"offload {cluster.offload}"] if cluster.offload != "none" else []
    said += ["reference offloaded"] if cluster.offload_reference else []
    said += ["activations checkpointed"] if cluster.checkpoint_activations else []
    said += ["packed"] if cluster.packing else ["padded"]
    chunk = cluster.logits_chunk_tokens
    return ", ".join([*said, f"logits in chunks of {chunk:,}" if chunk else "logits whole"])


def _host(planned: Plan) -> str:
    parts = " · ".join(f"{name} {size / GIB:,.0f}" for name, size in planned.host_parts.items())
    return f"{planned.host / GIB:,.0f} of {planned.policy.cluster.host_memory_gib:g}" + (f": {parts}" if parts else "")


def _time(planned: Plan, runs: int) -> tuple[str, str]:
    speed, training = planned.speed, planned.experiment.training
    moved = f" ({speed.offload:,.0f} s of it for what is offloaded)" if speed.offload else ""
    parts = " · ".join(f"{name} {seconds:,.0f} s" for name, seconds in speed.seconds.items() if seconds)
    return (
        f"{parts}: {speed.iteration / 60:.1f} min an iteration{moved}; {training.iterations} of them and "
        f"{planned.work.evaluations} evaluations of {speed.evaluation:,.0f} s: {shared.hours(planned.seconds, runs)}",
        f"{speed.decoded_per_s:,.0f} tokens/s decoded ({speed.rows} rows an engine, a cache of {planned.cache_tokens:,} "
        f"tokens), {speed.trained_per_s:,.0f} tokens/s trained",
    )
