"""``python -m flows``: one run, or with ``-m`` every combination of the given overrides.

Everything is validated before anything heavy is imported or started; then Hydra's launchers do the work
(``hydra/launcher=joblib``, ``basic``, ``ray``, ``slurm`` …). Exit codes: 0 done, 1 a run failed, 2 the command
line or configuration is wrong, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from flows.configure.compose import CONF, compose_all, expand
from flows.launch.jobs import Job, is_launchers, make_jobs
from flows.launch.launchers import check_launcher, launch_jobs, one_at_a_time
from flows.launch.slurm import by_shape, check_slurm, chosen_launcher, job_overrides, job_script, submit_array
from flows.launch.slurm_settings import SlurmSettings
from pipelines.config import RunConfig
from pipelines.errors import ConfigError, PlatformError
from pipelines.files import DISK_FULL
from pipelines.planning.readiness import check_engines, check_fits, check_machine

_INFORM = ("help", "hydra_help", "info", "cfg", "shell_completion")
Launch = Callable[[], int]
_UNSUPPORTED = ("config_path", "config_name", "config_dir", "experimental_rerun")


def _only(jobs: Sequence[Job], launch: Launch) -> int:
    return launch()


def main(arguments: Sequence[str] | None = None, around: Callable[[Sequence[Job], Launch], int] = _only) -> int:
    """Returns the exit code. ``around``: called for runs that are to be launched, not only explained or planned; it launches
    them, does what comes before and after, and returns the exit code. Its errors are told like a launch's."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # hydra/launcher/ray.yaml fills the plugin's settings of this name on purpose; and what Ray will do in another version.
    warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/ray' is validated against", category=UserWarning)
    warnings.filterwarnings("ignore", message="Tip: In future versions of Ray", category=FutureWarning)
    return _told(lambda: _main(arguments, around))


def _main(arguments: Sequence[str], around: Callable[[Sequence[Job], Launch], int]) -> int:
    options, overrides = _parse(arguments)
    if options.help or options.hydra_help:
        _hydra(["--help" if options.help else "--hydra-help"])
        return 0
    combinations = expand(overrides) if options.multirun else [overrides]
    configs = compose_all(combinations)
    if any(getattr(options, name) for name in _INFORM):
        _hydra([*(a for a in arguments if a not in overrides), *overrides])
        return 0
    jobs = make_jobs(combinations, configs)
    if any(config.plan for config in configs):
        return _plan(configs, jobs, combinations[0])
    if len(jobs) < len(combinations):
        print(f"{len(combinations)} combinations are {len(jobs)} runs: cells of several tables may be the same one")
    return around(jobs, lambda: _launch_checked(jobs, combinations[0], overrides, many=options.multirun))


def _told(work: Callable[[], int]) -> int:
    """The exit code; what is the user's or the machine's fault is a line."""
    try:
        return work()
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except PlatformError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        print(f"error: {error}: free some space and launch again; what was finished stays", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: launch the same command again to continue", file=sys.stderr)
        return 130


def _launch_checked(jobs: Sequence[Job], first: Sequence[str], overrides: Sequence[str], *, many: bool) -> int:
    """``first``: the overrides of one of the jobs, the launch's too."""
    slurm = chosen_launcher(first)
    if slurm is not None:
        return _launch_on_slurm(slurm, jobs, overrides, many=many)
    for job in jobs:
        job.config.experiment.check_runnable()
        check_fits(job.config.experiment)
        check_machine(job.config.experiment)
    return _launch(jobs, overrides, many=many)


def _plan(configs: Sequence[RunConfig], jobs: Sequence[Job], overrides: Sequence[str]) -> int:
    """Say what is needed, once where two names mean the same, and the job script where SLURM is chosen. ``overrides``: of
    one of the jobs, the launch's too."""
    from flows.launch.planning import show_plans

    slurm = chosen_launcher(overrides)
    code = show_plans([config for i, config in enumerate(configs) if config not in configs[:i]])
    if slurm is None:
        return code
    for group in by_shape(jobs):
        asked = chosen_launcher([*overrides, *job_overrides(slurm, [job.config for job in group], overrides)])
        assert asked is not None
        many = f"{len(group)} job{'s' if len(group) > 1 else ''}"
        print(f"\nsubmitted as {many}:\n\n{job_script(asked, len(group))}", end="")
    return code


def _launch_on_slurm(slurm: SlurmSettings, jobs: Sequence[Job], overrides: Sequence[str], *, many: bool) -> int:
    """The jobs' GPUs are looked for when they start."""
    if not many:
        raise ConfigError("hydra/launcher=slurm submits the runs of a multirun: add -m (python -m flows -m …)")
    configs = [job.config for job in jobs]
    launcher = [override for override in overrides if is_launchers(override)]
    for config in configs:
        config.experiment.check_runnable()
        check_fits(config.experiment)
        check_engines(config.experiment)
    check_slurm()
    return _launch(jobs, launcher, many=True, slurm=slurm)


def _launch(jobs: Sequence[Job], overrides: Sequence[str], *, many: bool, slurm: SlurmSettings | None = None) -> int:
    from flows.launch.launch import launch

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was started is stopped
    if not many:
        return launch(jobs, lambda _: _hydra(list(overrides)))
    launcher = [override for override in overrides if is_launchers(override)]
    if slurm is None:
        launcher += one_at_a_time(jobs, launcher)
    check_launcher(jobs, launcher)
    if slurm is None:
        return launch(jobs, lambda todo: launch_jobs(todo, launcher))
    folder = Path(slurm.submitit_folder).parent
    return launch(
        jobs, lambda array: submit_array(array, slurm, launcher, launch_jobs), batches=by_shape, seen_by_all=folder
    )


def _parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Hydra's own options, and the overrides, which may stand before and after them."""
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    parser.exit_on_error = False
    try:
        options, rest = parser.parse_known_args(list(arguments))
    except argparse.ArgumentError as error:
        raise ConfigError(f"{error}; see python -m flows --help") from None
    unknown = next((a for a in rest if a.startswith("-")), None)
    unsupported = next((f"--{n.replace('_', '-')}" for n in _UNSUPPORTED if getattr(options, n)), None)
    if unknown or unsupported:
        raise ConfigError(f"unknown option {unknown or unsupported}; see python -m flows --help")
    taken = {*options.overrides, *rest}
    return options, [a for a in arguments if a in taken]


def _hydra(arguments: list[str]) -> None:
    """Hand over to Hydra, which composes once more, sweeps, and launches the jobs with the chosen launcher."""
    import hydra

    from flows.job import job

    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = [sys.argv[0], *arguments]
    hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")(job)()


def leave(code: int) -> NoReturn:
    """End the process now. Everything is on disk; what would still wait are Prefect's threads, for ever when its
    server is dead."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main())
