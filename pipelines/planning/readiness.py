"""Whether a run on a cluster can start: it fits, and what it needs is here. Before anything heavy is imported."""

from __future__ import annotations

import os
import subprocess
from importlib.util import find_spec

from pipelines.config import ClusterConfig, ExperimentConfig, OpenrlhfPolicyConfig
from pipelines.errors import ConfigError
from pipelines.planning.plan import plan


def check_fits(experiment: ExperimentConfig) -> None:
    """Raises ConfigError: by the estimate, a part of the run is larger than the memory it has."""
    planned = plan(experiment)
    if planned is not None and planned.misfits:
        first, *others = planned.misfits
        more = f" (and {len(others)} more)" if others else ""
        raise ConfigError(f"{experiment.cell} does not fit: {first}{more}; plan=true has the numbers")


def check_machine(experiment: ExperimentConfig) -> None:
    """Raises ConfigError: the GPUs or the engines are not here."""
    if isinstance(experiment.policy, OpenrlhfPolicyConfig):
        _check_gpus(experiment, experiment.policy.cluster)
        check_engines(experiment)


def check_engines(experiment: ExperimentConfig) -> None:
    """Raises ConfigError: they are not installed beside this Python."""
    if isinstance(experiment.policy, OpenrlhfPolicyConfig) and find_spec("openrlhf") is None:
        raise ConfigError(
            "policy=openrlhf needs OpenRLHF, which is not installed beside this Python: make setup-cluster, then "
            ".venv-cluster/bin/python -m flows …"
        )


def _check_gpus(experiment: ExperimentConfig, cluster: ClusterConfig) -> None:
    if cluster.device == "cpu" or cluster.ray_address or os.environ.get("RAY_ADDRESS"):
        return
    here, needed = gpus_here(), f"{experiment.scale}-{experiment.model.name} needs {cluster.gpus} GPUs"
    if cluster.nodes > 1:
        needed += f" in {cluster.nodes} nodes and a Ray that spans them"
    if cluster.nodes > 1 or here < cluster.gpus:
        raise ConfigError(
            f"{needed}, and this machine has {here or 'no GPU'}: launch it where they are (-m hydra/launcher=slurm, or "
            "policy.cluster.ray_address=…), set policy.cluster.nodes and gpus_per_node, or see what it would need with "
            "plan=true; scale=laptop needs no GPU"
        )


def gpus_here() -> int:
    """NVIDIA's GPUs that this process may use, without loading a CUDA library."""
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    there = sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return there if visible is None else min(there, len([name for name in visible.split(",") if name.strip()]))
