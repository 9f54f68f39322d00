"""What gradients take on a rank, as DeepSpeed 0.19.6 lays them out (``stage_1_and_2.py``, ``stage3.py``); all in bytes.

A micro-batch's gradients are copied into a bucket as they come. When it is full, or all have come, it is exchanged, and the
rank's part of it kept. What all micro-batches before left is among the trainer's states.
"""

from __future__ import annotations

from pipelines.config import LoraSettings
from pipelines.planning.shapes import ModelShape, adapter_parameters
from pipelines.policies.openrlhf.config import OpenrlhfPolicyConfig

_BUCKET = 500_000_000  # DeepSpeed's reduce_bucket_size, in values
_SUB_GROUP = 1_000_000_000  # its sub_group_size: at stage 3 as many values step at once


def trained(shape: ModelShape, adapter: LoraSettings | None) -> int:
    """Parameters of the model, or of the adapter in its place."""
    return shape.parameters if adapter is None else adapter_parameters(shape, adapter)


def left(shape: ModelShape, adapter: LoraSettings | None) -> float:
    """Of the backward pass, what is still to do when the first bucket is full; 0: one holds all."""
    return max(0.0, 1 - _BUCKET / max(1, trained(shape, adapter)))


def largest_matrix(shape: ModelShape, adapter: LoraSettings | None) -> int:
    """Values of the largest one that is trained."""
    if adapter is None:
        return shape.output_matrix
    return adapter.rank * max(
        (max(shape.projections[name]) for name in adapter.targets if name in shape.projections), default=0
    )


def bucket(shape: ModelShape, policy: OpenrlhfPolicyConfig, adapter: LoraSettings | None = None) -> float:
    """Where a micro-batch's gradients are laid end to end. On a GPU it is allocated whole, at stage 2 twice: one is exchanged while the
    other is filled. Without one, what is not written to takes no memory."""
    width, twice = policy.bytes_per_value, 2 if policy.cluster.zero_stage == 2 else 1
    if policy.cluster.device == "cuda":
        return float(width * _BUCKET * twice)
    return float(width * min(_BUCKET, trained(shape, adapter)))


def exchanged(shape: ModelShape, policy: OpenrlhfPolicyConfig, adapter: LoraSettings | None = None) -> float:
    """What a full bucket needs beside itself. Stage 2: the rank's part of the micro-batch's gradients, and a copy of the bucket that
    goes to other ranks; where the optimizer is in host memory, a buffer of the largest matrix in place of the rank's part. Stage 3:
    the copy always, and the rank's part of it in float32."""
    cluster, width, count = policy.cluster, policy.bytes_per_value, trained(shape, adapter)
    full = min(_BUCKET, count)
    if cluster.zero_stage == 3:
        return width * full + (4 * full / cluster.ranks if width == 2 else 0.0)
    own = count / cluster.ranks if cluster.offload == "none" else largest_matrix(shape, adapter)
    return width * (own + full * (cluster.ranks > 1))


def stepping(shape: ModelShape, policy: OpenrlhfPolicyConfig, adapter: LoraSettings | None = None) -> float:
    """What the optimizer steps by, of the values that step at once; none where it is in host memory.

    Stage 2: gradients and their flat copy, in bfloat16 that in float32 too: 8 bytes a value either way. Then the gradients are
    given back. Stage 3: the flat copy, 4, beside gradients that stay. Without a GPU, torch's AdamW makes two float32 values of each in
    between: 8 more beside the flat copy's 4. DeepSpeed's own on a GPU makes none.
    """
    cluster = policy.cluster
    if cluster.offload != "none":
        return 0.0
    share, between = trained(shape, adapter) / cluster.ranks, 8.0 if cluster.device == "cpu" else 0.0
    if cluster.zero_stage == 3:
        return (4.0 + between) * min(share, _SUB_GROUP)
    return max(8.0, 4.0 + between) * share
