"""Memory of one process that samples and trains one model, part by part.

With P parameters: float32 weights 4·P, gradients 4·P, Adam's moments 8·P; in bfloat16 a rounded copy of 2·P beside them. The
frozen reference has the products' dtype alone. Gradients stay until the next update makes new ones. With an adapter of A
parameters the model is frozen in the products' dtype and is the reference too; A stands in P's place.

transformers' engine (``Size.hosted``) holds what is frozen in float32 too, whatever the products are. It begins every turn with all
contexts at once, padded to the longest, and its cache is as long.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.config import LoraSettings, PretrainedWarmStart
from pipelines.planning.memory import GIB, Phase, layer_activations
from pipelines.planning.shapes import ModelShape, adapter_parameters
from pipelines.policies.local.config import PROBE_TOKENS, LocalPolicyConfig
from pipelines.policies.local.planning.assumptions import Assumptions

_CHUNK_BYTES = 48 * 2**20  # of float32 logits, where nothing else is set (empg.entropy)
_EXAMINED = 32 * 64  # tokens, and bytes of an entry of their logits: eight of float64
_KEPT = 1.25  # what our forward pass keeps of a layer, of what transformers' does (tests/planning)
_GIVEN_BACK = 32 * 2**20  # bytes: what is larger, glibc returns to the system at once
_GROWING = 1.5  # while a cache grows, its keys are there twice
_DRAWING = (
    28  # bytes of an entry of the logits that are sampled from: logits, log-probs, probabilities, their float64 sums
)


@dataclass(frozen=True, slots=True)
class Size:
    """``rows``: episodes at once. ``longest``: tokens of the longest sequence allowed. ``micro``: of a
    forward pass that is trained. ``trains``: there are updates. ``reference``: there is a KL loss. ``adapter``: what is trained
    in place of the model. ``hosted``: by transformers' engine."""

    rows: int
    longest: int
    micro: int
    trains: bool
    reference: bool
    adapter: LoraSettings | None
    hosted: bool


def phases(
    shape: ModelShape, policy: LocalPolicyConfig, size: Size, cuda: bool, assumed: Assumptions
) -> tuple[Phase, ...]:
    always = states(shape, policy, size) | {"process": (assumed.context_gib if cuda else assumed.process_gib) * GIB}
    generation = Phase("generation", always | sampling(shape, policy, size))
    if not size.trains:
        return (generation,)
    update = {"activations": activations(shape, policy, size.micro), "logits": logits(shape, policy, size)}
    # AdamW's own intermediate values on a GPU; on a CPU, the gradients of before that the allocator keeps.
    freed = 4.0 * trained(shape, size) if cuda else _kept_by_allocator(shape, size)
    return generation, Phase("training", always | update | {"temporary": freed})


def sampling(shape: ModelShape, policy: LocalPolicyConfig, size: Size) -> dict[str, float]:
    drawing = {"sampling": float(_DRAWING * size.rows * shape.vocabulary)}
    if size.hosted:  # of a layer's MLP three float32 values at once, beside its input and what it is added to
        tokens = size.rows * size.longest
        prefill = 4.0 * tokens * (3 * shape.mlp + 2 * shape.hidden)
        return {"KV cache": float(tokens * shape.cache_bytes(4, 1)), "prefill": prefill} | drawing
    width = 2 if policy.dtype == "bfloat16" else 4
    # All rows are as long as the longest context among them, which of so many comes near to the longest allowed.
    return {"KV cache": _GROWING * size.rows * size.longest * shape.cache_bytes(width, 1)} | drawing


def warm_start_phase(
    shape: ModelShape,
    policy: LocalPolicyConfig,
    warm_start: PretrainedWarmStart,
    longest: int,
    hosted: bool,
    cuda: bool,
    assumed: Assumptions,
) -> Phase:
    """Imitation, before there is a reference. A batch is closed by the sequence with which it has its tokens."""
    size = Size(
        rows=0, longest=0, micro=warm_start.batch_tokens - 1 + longest, trains=True, reference=False,
        adapter=warm_start.adapter, hosted=hosted,
    )  # fmt: skip
    how = policy.model_copy(update={name: getattr(warm_start, name) for name in ("dtype", "checkpoint_activations")})
    (_, training) = phases(shape, how, size, cuda, assumed)
    return Phase("warm start", training.parts)


def check_phase(shape: ModelShape, assumed: Assumptions) -> Phase:
    """The logits of a text compared with transformers', once for a folder: in float32 on the host, whatever the policy is. Both use the
    same weights. Of those that are read as one matrix the file's pages are in memory too, which the system takes back where it is
    short: with Qwen2.5-0.5B's shape 4.15 GiB, .9 of them such pages."""
    parts = {
        "weights": 4.0 * shape.parameters,
        "process": assumed.process_gib * GIB,
        "logits": 4 * 4.0 * PROBE_TOKENS * shape.vocabulary,  # ours, theirs, their difference and its size
    }
    return Phase("check", parts)


def analysis_phase(shape: ModelShape, policy: LocalPolicyConfig, size: Size, assumed: Assumptions) -> Phase:
    """Proposition 1 at the end of a run, of the model before and after one after the other, in float32 beside the policy."""
    parts = {
        "process": assumed.process_gib * GIB,
        "examined": 4.0 * shape.parameters,
        "logits": _EXAMINED * shape.vocabulary,
    }
    return Phase("analysis", states(shape, policy, size) | parts)


def states(shape: ModelShape, policy: LocalPolicyConfig, size: Size) -> dict[str, float]:
    width, count = 2.0 if policy.dtype == "bfloat16" else 4.0, trained(shape, size)
    held = 4.0 if size.hosted else width  # of what is frozen
    frozen = held * shape.parameters * (size.adapter is not None)
    rounded = 2.0 * count * (width == 2 and size.adapter is None)
    alone = size.trains and size.reference and size.adapter is None
    return {
        "weights": 4.0 * count + frozen + rounded,
        "gradients": 4.0 * count * size.trains,
        "optimizer": 8.0 * count * size.trains,
        "reference": held * shape.parameters * alone,
    }


def _kept_by_allocator(shape: ModelShape, size: Size) -> float:
    """Bytes of the layers' gradients below glibc's largest threshold: larger ones it gives back to the system."""
    if size.adapter is not None:
        return 4.0 * trained(shape, size)
    heads = shape.attention_width + 2 * shape.kv_width
    matrices = [shape.hidden * wide for wide in (heads, shape.attention_width, 2 * shape.mlp, shape.mlp)]
    return 4.0 * shape.layers * sum(values for values in matrices if 4 * values < _GIVEN_BACK)


def trained(shape: ModelShape, size: Size) -> int:
    """Parameters."""
    return shape.parameters if size.adapter is None else adapter_parameters(shape, size.adapter)


def activations(shape: ModelShape, policy: LocalPolicyConfig, tokens: int) -> float:
    """Checkpointed: every layer's float32 input, and one layer at a time in full."""
    layer = _KEPT * tokens * layer_activations(shape, 2 if policy.dtype == "bfloat16" else 4)
    if policy.checkpoint_activations:
        return layer + 4.0 * tokens * shape.hidden * shape.layers
    return layer * shape.layers


def logits(shape: ModelShape, policy: LocalPolicyConfig, size: Size) -> float:
    """Two float32 buffers of a chunk; and where they are trained, the gradients of the output matrix and of the embedding before
    they are added up."""
    rows = policy.logits_chunk_tokens or _CHUNK_BYTES // (4 * shape.vocabulary)
    return 8.0 * rows * shape.vocabulary + 8.0 * shape.output_matrix * (size.adapter is None)
