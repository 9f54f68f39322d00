"""``python -m flows``: one run, or with ``-m`` every combination of the given overrides.

A launch is a straight line: plan (read, check, choose the launcher) → claim the runs → open the windows → execute → report.
Everything is validated before anything heavy is imported or started. Exit codes: ``flows/exits.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flows.configure.compose import CONF, composer
from flows.exits import end_as_interrupted, exit_code, leave
from flows.launch.command import Command, read_command
from flows.launch.folders import check_folders
from flows.launch.jobs import Job, in_order, with_commands
from flows.launch.launchers import choose_launcher, launcher_of
from flows.launch.slurm import Slurm
from flows.launch.slurm_settings import slurm_settings
from pipelines.commit import code_commit, version
from pipelines.errors import ConfigError
from pipelines.machine import check_limits
from pipelines.registry import benchmark_spec
from pipelines.run_folder import is_finished

_NAMED = 8  # runs, by their folders


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if "--version" in arguments:
        print(f"empg {version()}, commit {code_commit()}")
        return 0
    command = read_command(arguments)
    if command.shows:
        return show(command)
    code = launch(command)
    from flows.windows.ending import show_end

    show_end(command.jobs)
    return code


def show(command: Command) -> int:
    """Answer a command that launches nothing: by Hydra (``--help``, ``--cfg`` …), or with the plan. Returns the exit code. Raises
    ConfigError: options that exclude each other."""
    if not command.asks_hydra:
        return _show_plan(command)
    import hydra
    from hydra._internal.utils import get_args_parser

    if command.options == ("--help",):
        parser = get_args_parser()
        with composer() as once:
            once.app_help("config", parser, parser.parse_args([]))
        return 0
    sys.argv = [sys.argv[0], *command.options, *command.overrides]
    try:
        hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")(_never_called)()
    except ValueError as error:
        raise ConfigError(f"{' '.join(command.options)}: {error}") from None
    return 0


def launch(command: Command, order: Callable[[Iterable[Job]], list[Job]] = in_order) -> int:
    """Execute the runs that are not finished, in this order, and report. Returns the exit code.

    Raises:
        ConfigError, DataError: one of the runs cannot be executed here; nothing was started.
        RunLocked: another launch that is alive has some of them; nothing was started.
        MachineFailure: this shell allows no run the memory that it takes; nothing was started.
    """
    from flows.job import run_job

    check_limits()
    todo = order(job for job in command.jobs if not is_finished(job.config))
    launcher = choose_launcher(command, run_job, todo)
    _say_what_is_done(command.jobs, todo)
    for job in todo:
        benchmark, data = job.config.experiment.benchmark, job.config.experiment.data
        benchmark_spec(benchmark.name).build(benchmark, data).check()
    check_folders(job.config for job in todo)
    from flows.launch.claims import claimed
    from flows.launch.execution import execute
    from flows.launch.libraries import calm_libraries
    from flows.windows.opened import show_finished, windows
    from flows.windows.terminal import report

    if not todo:
        show_finished(command.jobs)
        return 0
    calm_libraries()
    todo = with_commands(todo)
    end_as_interrupted()
    with (
        claimed([job.folder for job in todo], todo[0].config.execution.runs) as folder,
        windows(todo, command.jobs, folder) as shown,
    ):
        failures = execute(launcher, todo)
        shown.show(failures)
    report(failures, todo, command.jobs)
    return 1 if failures else 0


def _say_what_is_done(jobs: Sequence[Job], todo: Sequence[Job]) -> None:
    left = {job.folder for job in todo}
    done = [job.folder for job in jobs if job.folder not in left]
    for each in done if len(done) <= _NAMED else [f"{len(done)} of {len(jobs)} runs"]:
        print(f"done already: {each}", flush=True)


def _show_plan(command: Command) -> int:
    """What the runs need, once where two names mean the same, and the job scripts where SLURM is chosen."""
    from flows.job import run_job
    from flows.launch.planning import show_plans

    settings = slurm_settings(launcher_of(command))
    code = show_plans([config for i, config in enumerate(command.configs) if config not in command.configs[:i]])
    if settings is not None:
        slurm = Slurm(settings, run_job)
        for batch in slurm.batches(command.jobs):
            many = f"{len(batch)} job{'s' if len(batch) > 1 else ''}"
            print(f"\nsubmitted as {many}:\n\n{slurm.script(batch)}", end="")
    return code


def _never_called(_: Any) -> None: ...


if __name__ == "__main__":
    leave(main())
