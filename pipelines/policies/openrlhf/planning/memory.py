"""Memory of one GPU, part by part, in each phase of an iteration; and of a node's host.

The arithmetic of ZeRO: with P parameters of w bytes, of which T are trained (all, or an adapter's beside them), on N ranks: weights w·P
(stage 3: /N), optimizer 12·T/N (float32 weights and two moments; 8·T/N in float32 at stage 3, which trains its weights themselves),
and what gradients take (``gradients``).
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.config import LoraSettings
from pipelines.planning.memory import GIB, Phase, layer_activations
from pipelines.planning.shapes import ModelShape
from pipelines.policies.openrlhf.cluster_config import ClusterConfig
from pipelines.policies.openrlhf.config import OpenrlhfPolicyConfig
from pipelines.policies.openrlhf.planning import gradients
from pipelines.policies.openrlhf.planning.assumptions import Assumptions


@dataclass(frozen=True, slots=True)
class Micro:
    """What a micro-batch's size hangs on. ``reference``: there is a KL loss; ``entropy``: there is an entropy loss. ``adapter``: what
    is trained in place of the model."""

    tokens: int
    reference: bool
    entropy: bool
    adapter: LoraSettings | None = None


def trainer_states(
    shape: ModelShape, policy: OpenrlhfPolicyConfig, adapter: LoraSettings | None = None
) -> dict[str, float]:
    """Bytes per rank, wherever they are: weights, gradients of the micro-batches before, optimizer. At stage 3 gradients are added up
    in float32, below it in the weights' dtype."""
    stage, ranks, width = policy.cluster.zero_stage, policy.cluster.ranks, policy.bytes_per_value
    count = gradients.trained(shape, adapter)
    weights = shape.parameters + (count if adapter else 0)
    return {
        "weights": width * weights / (ranks if stage == 3 else 1),
        "gradients": (4 if stage == 3 else width) * count / ranks,
        "optimizer": count * (8 if width == 4 and stage == 3 else 12) / ranks,
    }


def offloaded(cluster: ClusterConfig) -> set[str]:
    """Parts of the trainer's states that stay in host memory. Gradients go where the optimizer is."""
    if cluster.offload == "none":
        return set()
    return {"optimizer", "gradients"} | ({"weights"} if cluster.offload == "parameters" else set())


def gathered(shape: ModelShape, policy: OpenrlhfPolicyConfig) -> float:
    """Stage 3: the layer at work and the next one (or the output matrix), whole."""
    if policy.cluster.zero_stage < 3:
        return 0.0
    return policy.bytes_per_value * (shape.layer_parameters + max(shape.layer_parameters, shape.output_matrix))


def reference(shape: ModelShape, policy: OpenrlhfPolicyConfig) -> float:
    """The frozen model of each rank, on its GPU or in host memory; in stage 3 it is spread like the policy."""
    return policy.bytes_per_value * shape.parameters / (policy.cluster.ranks if policy.cluster.zero_stage == 3 else 1)


def activations(shape: ModelShape, policy: OpenrlhfPolicyConfig, tokens: int) -> float:
    """Of a micro-batch; checkpointed: every layer's input, and one layer at a time in full."""
    width = policy.bytes_per_value
    in_full = tokens * layer_activations(shape, width)
    if policy.cluster.checkpoint_activations:
        return in_full + tokens * width * shape.hidden * shape.layers
    return float(in_full * shape.layers)


def logits(shape: ModelShape, policy: OpenrlhfPolicyConfig, micro: Micro) -> float:
    """Whole: float32 logits, their gradient from the log-probs, another from the entropy loss, and the one that goes back
    in the model's dtype. In chunks: two float32 buffers and that gradient for a chunk's rows, and the output matrix's own where it is
    trained."""
    width, chunk = policy.bytes_per_value, policy.cluster.logits_chunk_tokens
    if chunk is None:
        return micro.tokens * shape.vocabulary * (4 + 4 + (4 if micro.entropy else 0) + width)
    own = width * shape.output_matrix if micro.adapter is None else 0
    return min(chunk, micro.tokens) * shape.vocabulary * (2 * 4 + width) + own


def training_phases(
    shape: ModelShape, policy: OpenrlhfPolicyConfig, micro: Micro, assumed: Assumptions
) -> tuple[Phase, Phase, Phase]:
    """The backward pass as it begins; as a bucket of gradients is full, or all are there; and the optimizer's step. Whole logits stay
    until that is over: OpenRLHF holds them."""
    cluster, adapter, away = policy.cluster, micro.adapter, offloaded(policy.cluster)
    here = {n: 0.0 if n in away else size for n, size in trainer_states(shape, policy, adapter).items()}
    always = here | beside(shape, policy, micro, assumed)
    whole, buckets = cluster.logits_chunk_tokens is None, gradients.bucket(shape, policy, adapter)
    held = {"logits": 4.0 * micro.tokens * shape.vocabulary} if whole else {}
    kept = activations(shape, policy, micro.tokens)
    begin = {
        "gathered layers": gathered(shape, policy),
        "activations": kept,
        "logits": logits(shape, policy, micro),
        "gradient bucket": buckets if cluster.device == "cuda" else 0.0,
    }
    full = {
        "gathered layers": gathered(shape, policy),
        "activations": kept * gradients.left(shape, adapter),
        "gradient bucket": buckets,
        "exchanged": gradients.exchanged(shape, policy, adapter),
    }
    step = {
        "gradients": here["gradients"] * (cluster.zero_stage == 3),
        "flat gradients": gradients.stepping(shape, policy, adapter),
    }
    return (
        Phase("training", always | begin),
        Phase("exchange", always | held | full),
        Phase("step", always | held | step),
    )


def beside(shape: ModelShape, policy: OpenrlhfPolicyConfig, micro: Micro, assumed: Assumptions) -> dict[str, float]:
    """What is there beside the trainer's own states. A frozen model under an adapter is the reference."""
    cluster = policy.cluster
    own = micro.reference and micro.adapter is None and not cluster.offload_reference
    asleep = assumed.asleep_gib if cluster.placement == "colocated" and cluster.device == "cuda" else 0.0
    processes = 1 if cluster.device == "cuda" else 2  # vLLM's too: on a GPU that is among what it keeps asleep
    return {
        "reference": reference(shape, policy) if own else 0.0,
        "vLLM asleep": asleep * GIB,
        "processes": processes * assumed.process_gib * GIB,
    }


def generation_phase(shape: ModelShape, policy: OpenrlhfPolicyConfig, micro: Micro, assumed: Assumptions) -> Phase:
    """vLLM takes its fraction whatever it needs; the KV cache is what its weights and workspace leave of it, negative
    when they leave nothing. Colocated, the trainer's weights and the reference stay beside it."""
    cluster = policy.cluster
    trainer = {} if cluster.placement == "separate" else training_phases(shape, policy, micro, assumed)[0].parts
    budget = cluster.memory_fraction * cluster.gpu.memory_gib * GIB
    weights = policy.bytes_per_value * shape.parameters / cluster.tensor_parallel
    workspace = assumed.workspace_gib * GIB if cluster.device == "cuda" else 0.0
    return Phase(
        "generation",
        {
            **{name: trainer[name] for name in ("weights", "reference", "processes") if name in trainer},
            "vLLM weights": weights,
            "vLLM workspace": workspace,
            "KV cache": budget - weights - workspace,
        },
    )


def cache_tokens(shape: ModelShape, policy: OpenrlhfPolicyConfig, generation: Phase) -> int:
    """Tokens whose keys and values one engine holds."""
    per_token = shape.cache_bytes(policy.bytes_per_value, policy.cluster.tensor_parallel)
    return max(0, int(generation.parts["KV cache"] // per_token))


def host_parts(shape: ModelShape, policy: OpenrlhfPolicyConfig, micro: Micro) -> dict[str, float]:
    """Bytes of one node's host memory: what the trainer's processes of a node offload, and what sleeps while the other side
    works (the larger of the two sleepers).

    Gradients are there in float32, as the optimizer steps by them, and once more as they were added up. Stage 2 has also the weights
    that go back, and a buffer of the largest matrix (transfer).
    """
    cluster, states, away = policy.cluster, trainer_states(shape, policy, micro.adapter), offloaded(policy.cluster)
    each = {name: size for name, size in states.items() if name in away}
    if "gradients" in each:
        share = gradients.trained(shape, micro.adapter) / cluster.ranks
        each["gradients"] += 4.0 * share
        if cluster.zero_stage == 2:
            each["transfer"] = policy.bytes_per_value * (share + gradients.largest_matrix(shape, micro.adapter))
    if micro.reference and micro.adapter is None and cluster.offload_reference:
        each["reference"] = reference(shape, policy)
    if cluster.placement == "colocated" and cluster.device == "cuda":
        sleeping = ("gradients", "optimizer") if cluster.zero_stage == 3 else ("optimizer",)  # stage 2 gives them back
        trainer = sum(states[name] for name in sleeping if name not in away)
        each["asleep"] = max(trainer, policy.bytes_per_value * shape.parameters / cluster.tensor_parallel)
    return {name: size * cluster.ranks_per_node for name, size in each.items()}
