"""What offloading costs: the way over PCIe, and an optimizer that steps on the host."""

from __future__ import annotations

from math import ceil

from pipelines.planning.shapes import ModelShape
from pipelines.planning.workload import Workload
from pipelines.policies.openrlhf.config import OpenrlhfPolicyConfig
from pipelines.policies.openrlhf.planning import gradients, memory
from pipelines.policies.openrlhf.planning.assumptions import Assumptions
from pipelines.policies.openrlhf.planning.memory import Micro

_ADAM_BYTES = 28  # float32 of weight, gradient and two moments read, of all but the gradient written


def offload_seconds(
    shape: ModelShape, policy: OpenrlhfPolicyConfig, work: Workload, micro: Micro, assumed: Assumptions
) -> dict[str, float]:
    """Of an iteration's parts; all ranks go at once, each over its own link.

    In a forward pass, a micro-batch reads the rank's share of weights that are offloaded; in an update it reads it twice
    (the backward pass again) and sends its gradients. An optimizer step on the host reads and writes its
    states there, and sends back the rank's share of weights that are not offloaded.
    """
    cluster, away = policy.cluster, memory.offloaded(policy.cluster)
    states, trained = memory.trainer_states(shape, policy, micro.adapter), gradients.trained(shape, micro.adapter)
    link = assumed.pcie_gb_s * 1e9
    weights = states["weights"] if "weights" in away else 0.0
    sent = states["gradients"] if "gradients" in away else 0.0
    passes = ceil(work.tokens / (cluster.ranks * micro.tokens))
    reference = (
        memory.reference(shape, policy)
        if micro.reference and micro.adapter is None and cluster.offload_reference
        else 0.0
    )
    micro_batches = work.minibatches * ceil(work.tokens / (work.minibatches * cluster.ranks * micro.tokens))
    update = micro_batches * (2 * weights + sent) / link
    if "optimizer" in away:
        share = policy.bytes_per_value * trained / cluster.ranks
        exchanged = share * ("weights" not in away)
        adam = _ADAM_BYTES * trained * cluster.ranks_per_node / cluster.ranks
        update += work.minibatches * (exchanged / link + adam / (assumed.host_gb_s * 1e9))
    return {"score": passes * weights / link, "reference": passes * reference / link, "update": update}
