"""``plan=true``: what each cell would need, in a table on the terminal. Starts nothing, and imports nothing heavy."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from pipelines.config import ExperimentConfig, RunConfig
from pipelines.errors import ConfigError
from pipelines.planning.assumptions import Assumptions
from pipelines.planning.memory import GIB
from pipelines.planning.plan import Plan, plan
from pipelines.policies.openrlhf.cluster_config import ClusterConfig
from pipelines.policies.openrlhf.config import OpenrlhfPolicyConfig

_LABEL = 14


def show_plans(configs: Sequence[RunConfig]) -> int:
    """Print the plan of every cell (its seeds have the same one). Returns 1 when one does not fit or cannot run, else 0.

    Raises:
        ConfigError: a model is unknown, or cannot be spread like this.
    """
    cells: dict[str, list[RunConfig]] = {}
    for config in configs:
        cells.setdefault(_without_seed(config), []).append(config)
    plans, problems = [], []
    for same in cells.values():
        experiment = same[0].experiment
        planned, impossible = plan(experiment), _impossible(experiment)
        lines = _lines(planned, len(same)) if planned else _unplanned(experiment, impossible)
        print("\n".join([_title(same), *lines]), end="\n\n")
        plans += [(planned, len(same))] if planned else []
        problems += [f"{experiment.cell} cannot run: {impossible}"] if impossible else []
        problems += (
            [f"{experiment.cell} does not fit: {'; '.join(planned.misfits)}"] if planned and planned.misfits else []
        )
    if plans:
        print(*_in_total(plans), _assumed(plans[0][0].assumed), sep="\n")
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _impossible(experiment: ExperimentConfig) -> str:
    """Why it cannot be run anywhere; empty: it can."""
    try:
        experiment.check_possible()
    except ConfigError as error:
        return str(error)
    return ""


def _without_seed(config: RunConfig) -> str:
    return config.experiment.model_copy(update={"seed": 0}).model_dump_json() + str(config.experiment.policy)


def _title(same: Sequence[RunConfig]) -> str:
    seeds = ", ".join(str(config.experiment.seed) for config in same)
    return f"{same[0].experiment.cell}  seed{'s' if len(same) > 1 else ''} {seeds}"


def _unplanned(experiment: ExperimentConfig, impossible: str) -> list[str]:
    none = _row("cluster", f"none: policy={experiment.policy.name} is one process on this machine")
    return [none, _row("cannot run", impossible)] if impossible else [none]


def _row(label: str, text: str) -> str:
    return f"  {label:{_LABEL}}{text}".rstrip()


def _lines(planned: Plan, runs: int) -> Iterator[str]:
    yield _row("stages", _stages(planned))
    yield from (_row(label, text) for label, text in zip(("iteration", ""), _iteration(planned), strict=True))
    yield _row("cluster", _cluster(planned.policy.cluster))
    yield _row("", _training(planned.policy))
    yield from _memory(planned)
    yield _row("GiB per node", _host(planned))
    yield from (_row(label, text) for label, text in zip(("time", ""), _time(planned, runs), strict=True))
    yield from (_row("remark", remark) for remark in planned.remarks)
    if planned.misfits:
        yield from (_row("does not fit" if not i else "", misfit) for i, misfit in enumerate(planned.misfits))
    else:
        yield _row("fits", f"with {planned.assumed.headroom:.0%} of each GPU's memory to spare")


def _stages(planned: Plan) -> str:
    iterations = planned.experiment.training.iterations
    start = "setup" + (" · warm start" if planned.experiment.warm_start else "")
    return f"{start} · {iterations} × (rollout · advantage · update) · {planned.work.evaluations} evaluations"


def _iteration(planned: Plan) -> tuple[str, str]:
    training, work = planned.experiment.training, planned.work
    played = f", {work.played} played" if work.played != work.episodes else ""
    return (
        f"{training.tasks} tasks × {training.group_size} = {work.episodes} episodes{played}; at most {work.sequences:,} "
        f"sequences of {work.longest:,} tokens",
        f"planned: {work.tokens / 1e6:.2f}M tokens, {work.sequences * work.generated / 1e6:.2f}M of them sampled "
        f"(at most {work.most_tokens / 1e6:.1f}M); micro-batches of {planned.micro.tokens:,}",
    )


def _cluster(cluster: ClusterConfig) -> str:
    nodes = f"{cluster.nodes} node{'s' if cluster.nodes > 1 else ''} × {cluster.gpus_per_node} {cluster.gpu.name}"
    engines = cluster.engine_gpus // cluster.tensor_parallel
    own = f" on {cluster.generation_gpus} GPUs of their own" if cluster.placement == "separate" else ""
    return (
        f"{nodes}, {cluster.placement}: {engines} vLLM engine{'s' if engines > 1 else ''} of tensor parallel "
        f"{cluster.tensor_parallel}{own}, {cluster.memory_fraction:.0%} of a GPU"
    )


def _training(policy: OpenrlhfPolicyConfig) -> str:
    cluster, ranks = policy.cluster, f"{policy.cluster.ranks} rank{'s' if policy.cluster.ranks > 1 else ''}"
    said = [f"trainer on {ranks} in {policy.dtype}: ZeRO-{cluster.zero_stage}"]
    said += [f"offload {cluster.offload}"] if cluster.offload != "none" else []
    said += ["reference offloaded"] if cluster.offload_reference else []
    said += ["activations checkpointed"] if cluster.checkpoint_activations else []
    said += ["packed"] if cluster.packing else ["padded"]
    chunk = cluster.logits_chunk_tokens
    return ", ".join([*said, f"logits in chunks of {chunk:,}" if chunk else "logits whole"])


def _memory(planned: Plan) -> Iterator[str]:
    """A row per part, a column per phase."""
    phases, gpu = planned.phases, planned.policy.cluster.gpu
    yield _row("GiB per GPU", f"{'':16}" + "".join(f"{phase.name:>12}" for phase in phases))
    for name in dict.fromkeys(name for phase in reversed(phases) for name in phase.parts):
        sizes = [phase.parts.get(name, 0.0) / GIB for phase in phases]
        if any(sizes):
            yield _row("", f"{name:16}" + "".join(f"{size:12.1f}" if size else f"{'·':>12}" for size in sizes))
    totals = "".join(f"{phase.total / GIB:12.1f}" for phase in phases)
    spare = f"{planned.assumed.headroom:.0%} of {gpu.memory_gib:g} is headroom"
    yield _row("", f"{'sum':16}{totals}   of {planned.gpu_limit:.1f}: {spare}")


def _host(planned: Plan) -> str:
    parts = " · ".join(f"{name} {size / GIB:,.0f}" for name, size in planned.host_parts.items())
    return f"{planned.host / GIB:,.0f} of {planned.policy.cluster.host_memory_gib:g}" + (f": {parts}" if parts else "")


def _time(planned: Plan, runs: int) -> tuple[str, str]:
    speed, training = planned.speed, planned.experiment.training
    moved = f" ({speed.offload:,.0f} s of it for what is offloaded)" if speed.offload else ""
    each = f" a run, {runs * planned.seconds / 3600:.1f} h for {runs} seeds" if runs > 1 else ""
    parts = " · ".join(f"{name} {seconds:,.0f} s" for name, seconds in speed.seconds.items() if seconds)
    return (
        f"{parts}: {speed.iteration / 60:.1f} min an iteration{moved}; {training.iterations} of them and "
        f"{planned.work.evaluations} evaluations of {speed.evaluation:,.0f} s: {planned.seconds / 3600:.1f} h{each}",
        f"{speed.decoded_per_s:,.0f} tokens/s decoded ({speed.rows} rows an engine, a cache of {planned.cache_tokens:,} "
        f"tokens), {speed.trained_per_s:,.0f} tokens/s trained",
    )


def _in_total(plans: Sequence[tuple[Plan, int]]) -> Iterator[str]:
    """Of several runs, each with its number of seeds."""
    runs = sum(seeds for _, seeds in plans)
    if runs > 1:
        hours = [planned.seconds / 3600 * seeds for planned, seeds in plans]
        gpus = [planned.policy.cluster.gpus if planned.policy.cluster.device == "cuda" else 0 for planned, _ in plans]
        gpu_hours = sum(h * n for h, n in zip(hours, gpus, strict=True))
        said = f", {gpu_hours:,.0f} GPU-hours" if gpu_hours else ""
        yield f"in total: {runs} runs, {sum(hours):,.1f} h one after the other{said}"


def _assumed(assumed: Assumptions) -> str:
    return (
        f"assumed: matrix products reach {assumed.mfu:.0%} of a GPU's tflops, decoding {assumed.bandwidth:.0%} of its "
        f"bandwidth and {assumed.decode_step_s * 1000:g} ms a step; prompts and transcripts are {assumed.prompt_fill:.0%} of "
        f"the longest allowed, answers {assumed.answer_tokens} tokens, every step is played, environments answer at once; "
        f"dynamic sampling keeps {assumed.kept_groups:.0%} of the groups; {assumed.process_gib:g} GiB for a process' CUDA "
        f"context and communication buffers, {assumed.asleep_gib:g} for a sleeping vLLM, {assumed.workspace_gib:g} for its "
        f"workspace; {assumed.headroom:.0%} of a GPU's memory kept free for fragmentation and short peaks; "
        f"{assumed.pcie_gb_s:g} GB/s between a GPU and its host, {assumed.host_gb_s:g} for an optimizer there. Nothing was "
        "measured."
    )
