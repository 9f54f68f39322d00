"""Are the GPUs here that the cluster's settings name?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import floor, inf

from pipelines.config import ExperimentConfig
from pipelines.errors import ConfigError
from pipelines.gpus import visible_gpus
from pipelines.policies.openrlhf.cluster_config import ClusterConfig


def check_gpus(experiment: ExperimentConfig, cluster: ClusterConfig) -> None:
    """Raises ConfigError: they are not on this machine, or smaller than the cluster's settings say."""
    if cluster.device == "cpu" or cluster.ray_address or os.environ.get("RAY_ADDRESS"):
        return
    here, needed = visible_gpus(), f"{experiment.scale}-{experiment.model.name} needs {cluster.gpus} GPUs"
    if cluster.nodes > 1:
        needed += f" in {cluster.nodes} nodes and a Ray that spans them"
    if cluster.nodes > 1 or len(here) < cluster.gpus:
        raise ConfigError(
            f"{needed}, and this machine has {len(here) or 'no GPU'}: launch it where they are (-m hydra/launcher=slurm, or "
            "policy.cluster.ray_address=…), set policy.cluster.nodes and gpus_per_node, or see what it would need with "
            "plan=true; scale=laptop needs no GPU"
        )
    _check_memory(cluster, here)


def _check_memory(cluster: ClusterConfig, here: Sequence[float | None]) -> None:
    """That the launch's check of what fits went by what is here."""
    smallest = min((gib for gib in here if gib is not None), default=inf)
    if cluster.gpu.memory_gib > smallest:
        raise ConfigError(
            f"policy.cluster.gpu is {cluster.gpu.name} with {cluster.gpu.memory_gib:g} GiB, and this machine's smallest GPU "
            f"has {smallest:.1f}: choose another (cluster/gpu@policy.cluster.gpu=…), set policy.cluster.gpu.memory_gib="
            f"{floor(smallest * 10) / 10:g}, or leave that GPU out with CUDA_VISIBLE_DEVICES; plan=true says what fits"
        )
