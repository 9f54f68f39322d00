"""Jobs of a SLURM cluster (``hydra/launcher=slurm``): what they ask for, their script, and their failures.

Hydra's submitit launcher submits them as one array of equal jobs, each of which runs one cell and seed.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.explain import CONF
from pipelines.config import OpenrlhfPolicyConfig, RunConfig
from pipelines.errors import ConfigError, PlatformError

_LAUNCHER = "SlurmLauncher"
_NOT_SBATCH = {"_target_", "submitit_folder", "max_num_timeout"}


class JobFailed(PlatformError):
    """SLURM refused or lost a job."""


def chosen_launcher(overrides: Sequence[str]) -> dict[str, Any] | None:
    """The SLURM launcher's settings, or None where another launcher is chosen. ``overrides``: of one of the jobs."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    os.environ["EMPG_BIN"] = str(Path(sys.executable).parent)  # for the job script, where ray is
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = hydra_compose("config", overrides=list(overrides), return_hydra_config=True)
        if not str(composed.hydra.launcher.get("_target_", "")).endswith(_LAUNCHER):
            return None
        settings = OmegaConf.to_container(composed.hydra.launcher, resolve=True)
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


def resources(configs: Sequence[RunConfig], overrides: Sequence[str]) -> list[str]:
    """Overrides of the launcher for the GPUs and nodes that the cells' cluster has, where ``overrides`` say nothing.

    Raises:
        ConfigError: the cells need different ones.
    """
    shapes = {_shape(config) for config in configs}
    if len(shapes) > 1:
        said = ", ".join(f"{nodes} × {gpus or 'no'} GPUs" for nodes, gpus in sorted(shapes))
        raise ConfigError(
            f"one launch submits one array of equal jobs, and these cells need {said}: launch each by itself"
        )
    ((nodes, gpus),) = shapes
    asked = {"additional_parameters.nodes": nodes} | ({"gpus_per_node": gpus} if gpus else {})
    given = {override.lstrip("+").partition("=")[0] for override in overrides}
    return [f"++hydra.launcher.{k}={v}" for k, v in asked.items() if f"hydra.launcher.{k}" not in given]


def _shape(config: RunConfig) -> tuple[int, int]:
    policy = config.experiment.policy
    if not isinstance(policy, OpenrlhfPolicyConfig):
        return 1, 0
    return policy.cluster.nodes, policy.cluster.gpus_per_node if policy.cluster.device == "cuda" else 0


def job_script(launcher: Mapping[str, Any], jobs: int) -> str:
    """What would be handed to sbatch, made by submitit itself."""
    from submitit import SlurmExecutor

    class Rendering(SlurmExecutor):
        @classmethod
        def affinity(cls) -> int:
            return 1  # also without srun on PATH: nothing is submitted

    executor = Rendering(folder=launcher["submitit_folder"], max_num_timeout=launcher["max_num_timeout"])
    asked = {key: value for key, value in launcher.items() if key not in _NOT_SBATCH and value is not None}
    executor.update_parameters(**executor._convert_parameters(asked))
    if jobs > 1:
        executor.parameters["map_count"] = jobs
    return str(executor._make_submission_file_text(executor._submitit_command_str, ""))


def check_sbatch() -> None:
    if shutil.which("sbatch") is None:
        raise ConfigError(
            "hydra/launcher=slurm needs sbatch, which is not on PATH: launch on the cluster's login node, or see the job "
            "script with plan=true"
        )


def submitted(submit: Callable[[], None], logs: Path) -> None:
    """Submit and wait. Raises JobFailed: SLURM refused the jobs, or one of them ended without a result."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError, UncompletedJobError

    try:
        submit()
    except (FailedJobError, FailedSubmissionError, UncompletedJobError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise JobFailed(
            f"SLURM: {lines[0]} (logs: {logs}); the other jobs go on, and the same launch continues what is left"
        ) from None
