"""The jobs of a launch, handed to Hydra's launcher (``hydra/launcher``) in the order given.

Hydra's sweeper is not asked: it launches combinations as they come, whatever they cost and however often they are the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from flows.configure.cells import CONF
from flows.launch.jobs import Job
from pipelines.errors import ConfigError, PlatformError
from pipelines.policies.openrlhf.config import OpenrlhfPolicyConfig
from pipelines.policies.vllm.config import VllmPolicyConfig


class JobFailed(PlatformError):
    """A launcher refused jobs, or lost some that cannot be launched again here; no other fault is its own."""


def check_launcher(jobs: Sequence[Job], launcher: Sequence[str]) -> None:
    """Raises ConfigError: the launcher that is chosen is a plugin that is not here."""
    with _composed(jobs, launcher) as (config, _):
        target = str(config.hydra.launcher.get("_target_", ""))
    if find_spec(target.rpartition(".")[0].rpartition(".")[0]) is None:
        raise ConfigError(
            f"hydra/launcher={config.hydra.runtime.choices['hydra/launcher']} needs {target.split('.')[1]}, which is not "
            "installed beside this Python: make setup-cluster, then .venv-cluster/bin/python -m flows …"
        )


def one_at_a_time(jobs: Sequence[Job], launcher: Sequence[str]) -> list[str]:
    """The launcher's override where runs want a GPU and nothing is said: each takes the machine's GPUs from the first on, so
    one process per core would put all runs on the same ones."""
    if any(override.lstrip("+").startswith(("hydra/launcher", "hydra.launcher.n_jobs")) for override in launcher):
        return []
    policies = [job.config.experiment.policy for job in jobs]
    on_gpus = any(
        isinstance(policy, VllmPolicyConfig)
        or (isinstance(policy, OpenrlhfPolicyConfig) and policy.cluster.device == "cuda")
        for policy in policies
    )
    return ["hydra.launcher.n_jobs=1"] if on_gpus else []


def launch_jobs(jobs: Sequence[Job], launcher: Sequence[str]) -> None:
    """``launcher``: overrides that choose and set the launcher. Returns when all have ended.

    Raises:
        JobFailed: Ray is not there.
        BrokenProcessPool: Ray lost a job, and all that had not ended were ended. What other launchers raise is their own.
    """
    from hydra._internal.callbacks import Callbacks
    from hydra.core.plugins import Plugins
    from hydra.types import HydraContext

    from flows.job import job as run_job

    with _composed(jobs, launcher) as (config, loader):
        context = HydraContext(config_loader=loader, callbacks=Callbacks(config))
        chosen = Plugins.instance().instantiate_launcher(context, run_job, config)
        try:
            for done in chosen.launch([list(job.overrides) for job in jobs], initial_job_idx=0):
                done.return_value  # noqa: B018  raises what the job raised
        except Exception as error:
            if config.hydra.runtime.choices["hydra/launcher"] != "ray":
                raise
            said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            if type(error) is ConnectionError:  # there is no Ray at the address
                raise JobFailed(f"Ray: {said}; the same launch continues what is left") from None
            if not _is_a_loss(error):
                raise
            print(f"warning: Ray: {said}", file=sys.stderr, flush=True)
            _end_ray()
            raise BrokenProcessPool(said) from None


def _is_a_loss(error: Exception) -> bool:
    """Of a worker or a machine of Ray's; not a bug in a job, whose traceback is wanted."""
    return type(error).__module__.partition(".")[0] == "ray" and not type(error).__name__.startswith("RayTaskError")


def _end_ray() -> None:
    """The other jobs end too, as those of joblib's pool do: what is left is launched again."""
    if ray := sys.modules.get("ray"):
        ray.shutdown()


@contextmanager
def _composed(jobs: Sequence[Job], launcher: Sequence[str]) -> Iterator[tuple[Any, Any]]:
    """The launch's configuration, with Hydra's own, and its loader. A launcher's settings may name what a run's do."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode

    with initialize_config_dir(str(CONF), version_base="1.3", job_name="flows"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        said = [*jobs[0].overrides, *launcher, "hydra.mode=MULTIRUN"]
        yield hydra.compose_config("config", said, run_mode=RunMode.MULTIRUN), hydra.config_loader
