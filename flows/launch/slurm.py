"""Jobs of a SLURM cluster (``hydra/launcher=slurm``): what they ask for, their script, and their failures.

Hydra's submitit launcher submits arrays of equal jobs, each of which runs one cell and seed; cells that need other nodes or GPUs
are an array of their own, submitted when the one before has ended.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from flows.configure.explain import CONF, explain
from flows.launch.jobs import Job
from flows.launch.launchers import JobFailed
from flows.launch.slurm_settings import SlurmSettings, slurm_settings
from pipelines.config import RunConfig
from pipelines.errors import ConfigError
from pipelines.policies.openrlhf.config import OpenrlhfPolicyConfig
from pipelines.policies.vllm.config import VllmPolicyConfig

_LAUNCHER = "SlurmLauncher"
_SETUP = "EMPG_SETUP"  # hands text of any kind to Hydra, which would read an override's quotes and dollars


def chosen_launcher(overrides: Sequence[str]) -> SlurmSettings | None:
    """The SLURM launcher's settings, or None where another launcher is chosen. ``overrides``: of one of the jobs.

    Raises:
        ConfigError: a setting is unknown or cannot be.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            hydra = hydra_compose("config", overrides=list(overrides), return_hydra_config=True).hydra
            plain = OmegaConf.is_dict(hydra.launcher) and OmegaConf.to_container(hydra.launcher, resolve=True)
    except Exception as error:
        raise ConfigError(explain(error)) from None
    if not isinstance(plain, dict):
        raise ConfigError(
            "hydra.launcher is a section: choose it with hydra/launcher=slurm, and set its values one by one"
        )
    if not str(plain.get("_target_", "")).endswith(_LAUNCHER):
        return None
    choice = hydra.runtime.choices["hydra/launcher"]
    if choice != "slurm":
        raise ConfigError(f"hydra/launcher={choice} knows nothing of policy.cluster: choose hydra/launcher=slurm")
    return slurm_settings({str(key): value for key, value in plain.items()})


def job_overrides(launcher: SlurmSettings, configs: Sequence[RunConfig], overrides: Sequence[str]) -> list[str]:
    """Overrides of the launcher: GPUs and nodes of the cells' policy, where ``overrides`` (of a job) say nothing; and after
    the user's own set-up a Ray over all nodes. ``configs``: of one shape (``by_shape``)."""
    ((nodes, gpus),) = {_shape(config) for config in configs}
    asked = {"additional_parameters.nodes": nodes} | ({"gpus_per_node": gpus} if gpus else {})
    given = {override.lstrip("+").partition("=")[0] for override in overrides}
    ray = f"ray={shlex.quote(str(Path(sys.executable).with_name('ray')))}"
    os.environ[_SETUP] = "\n".join(
        [*launcher.setup, ray, Path(__file__).with_name("slurm_ray.sh").read_text().rstrip()]
    )
    return [
        *(f"++hydra.launcher.{k}={v}" for k, v in asked.items() if f"hydra.launcher.{k}" not in given),
        f"++hydra.launcher.setup=['${{oc.env:{_SETUP}}}']",
    ]


def by_shape(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs that can be one array: those that need the same nodes and GPUs."""
    groups: dict[tuple[int, int], list[Job]] = {}
    for job in jobs:
        groups.setdefault(_shape(job.config), []).append(job)
    return list(groups.values())


def _shape(config: RunConfig) -> tuple[int, int]:
    """Nodes, and GPUs of each."""
    policy = config.experiment.policy
    if isinstance(policy, VllmPolicyConfig):
        return 1, policy.tensor_parallel
    if not isinstance(policy, OpenrlhfPolicyConfig):
        return 1, 0
    return policy.cluster.nodes, policy.cluster.gpus_per_node if policy.cluster.device == "cuda" else 0


def job_script(launcher: SlurmSettings, jobs: int) -> str:
    """What would be handed to sbatch, made by submitit itself."""
    from submitit import SlurmExecutor

    class Rendering(SlurmExecutor):
        @classmethod
        def affinity(cls) -> int:
            return 1  # also without srun on PATH: nothing is submitted

    executor = Rendering(folder=launcher.submitit_folder, max_num_timeout=launcher.max_num_timeout)
    executor.update_parameters(**executor._convert_parameters(launcher.for_sbatch()))
    if jobs > 1:
        executor.parameters["map_count"] = jobs
    return str(executor._make_submission_file_text(executor._submitit_command_str, ""))


def check_slurm() -> None:
    missing = [command for command in ("sbatch", "srun") if shutil.which(command) is None]
    if missing:
        raise ConfigError(
            f"hydra/launcher=slurm needs {missing[0]}, which is not on PATH: launch on the cluster's login node, or see the "
            "job script with plan=true"
        )


def submit_array(
    jobs: Sequence[Job],
    slurm: SlurmSettings,
    launcher: Sequence[str],
    launch: Callable[[Sequence[Job], Sequence[str]], None],
) -> None:
    """``jobs``: of one shape. ``launch``: hands jobs to a launcher with these overrides. Raises JobFailed."""
    overrides = [*launcher, *job_overrides(slurm, [job.config for job in jobs], launcher)]
    submitted(partial(launch, jobs, overrides), Path(slurm.submitit_folder).parent)


def submitted(submit: Callable[[], None], logs: Path) -> None:
    """Submit and wait. Raises JobFailed: SLURM refused the jobs, or one of them ended without a result."""
    from submitit.core import utils

    utils.print = lambda *_, **__: None  # type: ignore[attr-defined]  # of sbatch's words, which it raises too
    try:
        submit()
    except (utils.FailedJobError, utils.FailedSubmissionError, utils.UncompletedJobError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        sbatch = error.__cause__
        if isinstance(sbatch, subprocess.CalledProcessError):
            said = "; ".join(lines) or f"{sbatch.output}".strip() or "without a word"
            raise JobFailed(
                f"sbatch refused the jobs (exit code {sbatch.returncode}): {said}; nothing was submitted, see the job script "
                "with plan=true"
            ) from None
        raise JobFailed(
            f"SLURM: {lines[0] if lines else type(error).__name__} (logs: {logs}); the other jobs go on, and the same launch "
            "continues what is left"
        ) from None
    finally:
        del utils.print  # type: ignore[attr-defined]
