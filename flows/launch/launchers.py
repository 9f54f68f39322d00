"""The launcher that a command names: this process, one of Hydra's, or SLURM.

Hydra's sweeper is not asked: it launches combinations as they come, whatever they cost and however often they are the same.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flows.configure.cells import CONF
from flows.configure.explain import explain
from flows.launch.command import Command
from flows.launch.jobs import Job
from flows.launch.launcher import InThisProcess, Launcher, Run
from flows.launch.slurm import Slurm, check_slurm
from flows.launch.slurm_settings import slurm_settings
from pipelines.config import RunConfig
from pipelines.errors import ConfigError
from pipelines.planning.room import check_room


def choose_launcher(command: Command, run: Run, todo: Sequence[Job]) -> Launcher:
    """The launcher that the command names, which calls ``run`` for each job, once all that can be known beforehand is checked.
    ``todo``: those of its jobs that are not finished.

    Raises:
        ConfigError: a run cannot be executed there, or the launcher is not here or wrongly set.
        MachineFailure: what a run writes has no room here.
    """
    settings = slurm_settings(launcher_of(command))
    if settings is not None and not command.many:
        raise ConfigError("hydra/launcher=slurm submits the runs of a multirun: add -m (python -m flows -m …)")
    for job in command.jobs:
        experiment = job.config.experiment
        experiment.check_runnable()
        experiment.check_fits()
        if settings is None:
            experiment.check_machine()
        else:  # SLURM's jobs look for their own GPUs
            experiment.policy.check_engines()
    if settings is not None:
        check_slurm()
        return Slurm(settings, run)
    for job in todo:
        check_room(job.config)
    return HydrasLauncher(command, run, todo) if command.many else InThisProcess(run)


def launcher_of(command: Command) -> Any:
    """Hydra's own node as the command composes it; its launcher's settings may name what a run's do. Raises ConfigError."""
    with _composed([*command.jobs[0].overrides, *command.launcher]) as (config, _):
        return config.hydra


class HydrasLauncher(Launcher):
    """``hydra/launcher=processes``, ``basic``, ``joblib``, ``ray`` …"""

    def __init__(self, command: Command, run: Run, todo: Sequence[Job]) -> None:
        """``todo``: the jobs that it will be given. Raises ConfigError: the launcher is a plugin that is not here."""
        self._run = run
        fewer = fewer_processes(todo, command.launcher)
        if fewer:
            print(f"{' '.join(fewer)}: of such runs no more go beside each other here", file=sys.stderr, flush=True)
        self._overrides = [*command.launcher, *fewer]
        hydra = launcher_of(command)
        self._name = str(hydra.runtime.choices["hydra/launcher"])
        target = str(hydra.launcher.get("_target_", ""))
        if find_spec(target.rpartition(".")[0].rpartition(".")[0]) is None:
            raise ConfigError(
                f"hydra/launcher={self._name} needs {target.split('.')[1]}, which is not installed beside this Python: "
                "make setup-cluster, then .venv-cluster/bin/python -m flows …"
            )

    def execute(self, jobs: Sequence[Job]) -> dict[Path, str]:
        from hydra._internal.callbacks import Callbacks
        from hydra.core.plugins import Plugins
        from hydra.types import HydraContext

        with _composed([*jobs[0].overrides, *self._overrides]) as (config, loader):
            context = HydraContext(config_loader=loader, callbacks=Callbacks(config))
            launcher = Plugins.instance().instantiate_launcher(
                context, _NumberedRun(self._run, [job.config for job in jobs]), config
            )
            try:
                for done in launcher.launch([list(job.overrides) for job in jobs], initial_job_idx=0):
                    done.return_value  # noqa: B018  raises what the job raised
            except Exception as error:
                if self._name != "ray":
                    raise
                return _lost_by_ray(error, jobs)
        return {}


class _NumberedRun:
    """What Hydra calls for each job, in whatever process, once it has composed the job's configuration anew."""

    def __init__(self, run: Run, configs: Sequence[RunConfig]) -> None:
        self._run, self._configs = run, configs

    def __call__(self, _: Any) -> None:
        from hydra.core.hydra_config import HydraConfig

        self._run(self._configs[HydraConfig.get().job.num])


def fewer_processes(jobs: Sequence[Job], launcher: Sequence[str]) -> list[str]:
    """The launcher's override where no number of processes is chosen and one per core would be too many. Each run takes the machine's
    GPUs from the first on, so they would all be on the same ones; and memory may hold fewer runs than there are cores."""
    if any(override.lstrip("+").startswith(("hydra/launcher", "hydra.launcher.n_jobs")) for override in launcher):
        return []
    experiments = [job.config.experiment for job in jobs]
    if any(experiment.policy.takes_gpus(experiment) for experiment in experiments):
        return ["hydra.launcher.n_jobs=1"]
    plans = (experiment.policy.plan(experiment) for experiment in experiments)
    bounds = [plan.at_once for plan in plans if plan is not None and plan.at_once is not None]
    cores = os.cpu_count() or 1
    return [f"hydra.launcher.n_jobs={min(bounds)}"] if bounds and min(bounds) < min(cores, len(jobs)) else []


def _lost_by_ray(error: Exception, jobs: Sequence[Job]) -> dict[Path, str]:
    """What Ray's error means for the jobs: none ran, or those that had not ended were ended, as those of joblib's pool are.

    Raises:
        BrokenProcessPool: a worker or a machine was lost.
        Exception: the error itself, where it is a bug in a job, whose traceback is wanted.
    """
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if type(error) is ConnectionError:  # there is no Ray at the address
        return {job.folder: f"Ray: {reason}; the same launch continues what is left" for job in jobs}
    if type(error).__module__.partition(".")[0] != "ray" or type(error).__name__.startswith("RayTaskError"):
        raise error
    print(f"warning: Ray: {reason}", file=sys.stderr, flush=True)
    if ray := sys.modules.get("ray"):
        ray.shutdown()
    raise BrokenProcessPool(reason) from None


@contextmanager
def _composed(overrides: Sequence[str]) -> Iterator[tuple[Any, Any]]:
    """A launch's configuration with Hydra's own node, and the loader. Raises ConfigError."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode

    with initialize_config_dir(str(CONF), version_base="1.3", job_name="flows"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        try:
            config = hydra.compose_config("config", [*overrides, "hydra.mode=MULTIRUN"], run_mode=RunMode.MULTIRUN)
        except Exception as error:
            raise ConfigError(explain(error, overrides)) from None
        yield config, hydra.config_loader
