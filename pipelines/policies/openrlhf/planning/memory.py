"""Memory of one GPU, part by part, in each phase of an iteration; and of a node's host.

The arithmetic of ZeRO: with P parameters of w bytes on N ranks, weights w·P (stage 3: /N), gradients w·P/N,
optimizer 12·P/N in bfloat16 (float32 weights and two moments) or 8·P/N in float32.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.policies.openrlhf.cluster_config import ClusterConfig
from pipelines.policies.openrlhf.config import OpenrlhfPolicyConfig
from pipelines.policies.openrlhf.planning.assumptions import Assumptions
from pipelines.policies.openrlhf.planning.shapes import ModelShape

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Phase:
    """What is in a GPU's memory at once: bytes by part."""

    name: str
    parts: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.parts.values())


@dataclass(frozen=True, slots=True)
class Micro:
    """What a micro-batch's size hangs on. ``reference``: there is a KL loss; ``entropy``: there is an entropy loss."""

    tokens: int
    reference: bool
    entropy: bool


def trainer_states(shape: ModelShape, policy: OpenrlhfPolicyConfig) -> dict[str, float]:
    """Bytes per rank, wherever they are: weights, gradients, optimizer."""
    stage, ranks, width = policy.cluster.zero_stage, policy.cluster.ranks, policy.bytes_per_value
    states = shape.parameters * (12 if width == 2 else 8)
    return {
        "weights": width * shape.parameters / (ranks if stage == 3 else 1),
        "gradients": width * shape.parameters / ranks,
        "optimizer": states / ranks,
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


def layer_activations(shape: ModelShape, width: int) -> int:
    """Bytes that one layer keeps for its backward pass, per token, with flash attention.

    Values in the model's dtype: of each of the two norms its normalised value and the product with its weight (4 D);
    query and attention's result (2 A), keys and values (2 K); gate, up, silu(gate) and their product (4 M). In float32:
    each norm's input (2 D) and scale (2), and attention's log-sum-exp of each head.
    """
    values = 4 * shape.hidden + 2 * shape.attention_width + 2 * shape.kv_width + 4 * shape.mlp
    return width * values + 4 * (2 * shape.hidden + 2 + shape.heads)


def activations(shape: ModelShape, policy: OpenrlhfPolicyConfig, tokens: int) -> float:
    """Of a micro-batch; checkpointed: every layer's input, and one layer at a time in full."""
    width = policy.bytes_per_value
    in_full = tokens * layer_activations(shape, width)
    if policy.cluster.checkpoint_activations:
        return in_full + tokens * width * shape.hidden * shape.layers
    return float(in_full * shape.layers)


def logits(shape: ModelShape, policy: OpenrlhfPolicyConfig, micro: Micro) -> float:
    """Whole: float32 logits, their gradient from the log-probs, another from the entropy loss, and the one that goes back
    in the model's dtype. In chunks: two float32 buffers and that gradient for a chunk's rows, and the output matrix's own."""
    width, chunk = policy.bytes_per_value, policy.cluster.logits_chunk_tokens
    if chunk is None:
        return micro.tokens * shape.vocabulary * (4 + 4 + (4 if micro.entropy else 0) + width)
    return min(chunk, micro.tokens) * shape.vocabulary * (2 * 4 + width) + width * shape.output_matrix


def training_phase(shape: ModelShape, policy: OpenrlhfPolicyConfig, micro: Micro, assumed: Assumptions) -> Phase:
    cluster, away = policy.cluster, offloaded(policy.cluster)
    with_reference = micro.reference and not cluster.offload_reference
    asleep = assumed.asleep_gib if cluster.placement == "colocated" and cluster.device == "cuda" else 0.0
    return Phase(
        "training",
        {
            **{name: 0.0 if name in away else size for name, size in trainer_states(shape, policy).items()},
            "gathered layers": gathered(shape, policy),
            "reference": reference(shape, policy) if with_reference else 0.0,
            "activations": activations(shape, policy, micro.tokens),
            "logits": logits(shape, policy, micro),
            "vLLM asleep": asleep * GIB,
            "processes": assumed.process_gib * (2 if with_reference else 1) * GIB,
        },
    )


def generation_phase(shape: ModelShape, policy: OpenrlhfPolicyConfig, micro: Micro, assumed: Assumptions) -> Phase:
    """vLLM takes its fraction whatever it needs; the KV cache is what its weights and workspace leave of it, negative
    when they leave nothing. Colocated, the trainer's weights and the reference stay beside it."""
    cluster = policy.cluster
    beside = {} if cluster.placement == "separate" else training_phase(shape, policy, micro, assumed).parts
    budget = cluster.memory_fraction * cluster.gpu.memory_gib * GIB
    weights = policy.bytes_per_value * shape.parameters / cluster.tensor_parallel
    workspace = assumed.workspace_gib * GIB if cluster.device == "cuda" else 0.0
    return Phase(
        "generation",
        {
            **{name: beside[name] for name in ("weights", "reference", "processes") if name in beside},
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
    works (the larger of the two sleepers)."""
    cluster, states, away = policy.cluster, trainer_states(shape, policy), offloaded(policy.cluster)
    each = {name: size for name, size in states.items() if name in away}
    if micro.reference and cluster.offload_reference:
        each["reference"] = reference(shape, policy)
    if cluster.placement == "colocated" and cluster.device == "cuda":
        trainer = sum(states[name] for name in ("gradients", "optimizer") if name not in away)
        each["asleep"] = max(trainer, policy.bytes_per_value * shape.parameters / cluster.tensor_parallel)
    return {name: size * cluster.ranks_per_node for name, size in each.items()}
