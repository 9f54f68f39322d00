"""``python -m flows``: one run, or with ``-m`` every combination of the given overrides.

Everything is validated before anything heavy is imported or started; then Hydra's own sweeper and launcher do the
work (``hydra/launcher=joblib``, ``basic``, ``slurm`` …). Exit codes: 0 done, 1 a run failed, 2 the command
line or configuration is wrong, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from flows.compose import CONF, compose, expand
from flows.slurm import check_slurm, chosen_launcher, job_overrides, job_script, submitted
from flows.slurm_settings import SlurmSettings
from pipelines.config import RunConfig
from pipelines.errors import ConfigError, PlatformError
from pipelines.files import DISK_FULL
from pipelines.planning.readiness import check_engines, check_fits, check_machine

_INFORM = ("help", "hydra_help", "info", "cfg", "shell_completion")
_UNSUPPORTED = ("config_path", "config_name", "config_dir", "experimental_rerun")


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        options, overrides = _parse(arguments)
        if options.help or options.hydra_help:
            _hydra(["--help" if options.help else "--hydra-help"])
            return 0
        jobs = expand(overrides) if options.multirun else [overrides]
        configs = [compose(job) for job in jobs]
        if any(getattr(options, name) for name in _INFORM):
            _hydra([*(a for a in arguments if a not in overrides), *overrides])
            return 0
        if any(config.plan for config in configs):
            return _plan(configs, jobs)
        slurm = chosen_launcher(jobs)
        if slurm is not None:
            return _launch_on_slurm(slurm, configs, overrides, jobs, many=options.multirun)
        for config in configs:
            config.experiment.check_runnable()
            check_fits(config.experiment)
            check_machine(config.experiment)
        return _launch(configs, [*(["-m"] if options.multirun else []), *overrides])
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


def _plan(configs: Sequence[RunConfig], jobs: Sequence[Sequence[str]]) -> int:
    """Say what is needed, and the job script where SLURM is chosen."""
    from flows.planning import show_plans

    slurm = chosen_launcher(jobs)
    code = show_plans(configs)
    if slurm is not None:
        asked = chosen_launcher([[*jobs[0], *job_overrides(slurm, configs, jobs[0])]])
        assert asked is not None
        print(
            f"\nsubmitted as {len(jobs)} job{'s' if len(jobs) > 1 else ''}:\n\n{job_script(asked, len(jobs))}", end=""
        )
    return code


def _launch_on_slurm(
    slurm: SlurmSettings,
    configs: Sequence[RunConfig],
    overrides: Sequence[str],
    jobs: Sequence[Sequence[str]],
    *,
    many: bool,
) -> int:
    """The jobs' GPUs are looked for when they start."""
    if not many:
        raise ConfigError("hydra/launcher=slurm submits the runs of a multirun: add -m (python -m flows -m …)")
    asked = job_overrides(slurm, configs, jobs[0])
    for config in configs:
        config.experiment.check_runnable()
        check_fits(config.experiment)
        check_engines(config.experiment)
    check_slurm()
    return _launch(configs, ["-m", *overrides, *asked], slurm)


def _launch(configs: Sequence[RunConfig], arguments: list[str], slurm: SlurmSettings | None = None) -> int:
    from flows.launch import launch

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was started is stopped
    if slurm is None:
        return launch(configs, lambda: _hydra(arguments))
    folder = Path(slurm.submitit_folder).parent
    return launch(configs, lambda: submitted(lambda: _hydra(arguments), folder), seen_by_all=folder)


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
