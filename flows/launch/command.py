"""``python -m flows …`` as it was typed, read and checked: what is to be shown or launched."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from flows.configure.compose import as_group, compose_all, expand
from flows.configure.remade import with_remade
from flows.launch.jobs import Job, is_launchers, make_jobs
from pipelines.config import RunConfig
from pipelines.errors import ConfigError

_ANSWERED_BY_HYDRA = ("help", "hydra_help", "info", "cfg", "shell_completion")
_IGNORED = ("hydra.run.", "hydra.sweep.", "hydra.output_subdir", "hydra.job.chdir", "hydra.job.name")
_UNSUPPORTED = ("config_path", "config_name", "config_dir", "experimental_rerun")


@dataclass(frozen=True)
class Command:
    """``overrides``: in the order given; ``options``: Hydra's own; ``configs``: of all combinations; ``jobs``: the runs that they
    name, each once."""

    overrides: tuple[str, ...]
    options: tuple[str, ...]
    many: bool
    asks_hydra: bool
    configs: tuple[RunConfig, ...]
    jobs: tuple[Job, ...]

    @property
    def plans(self) -> bool:
        return any(config.plan for config in self.configs)

    @property
    def shows(self) -> bool:
        """Whether it only asks: nothing is launched."""
        return self.asks_hydra or self.plans

    @cached_property
    def launcher(self) -> list[str]:
        """The overrides that say how to launch, not what."""
        return [override for override in self.overrides if is_launchers(override)]


def read_command(arguments: Sequence[str]) -> Command:
    """Parse, compose and validate. Prints where several combinations are the same run.

    Raises:
        ConfigError: the first thing that is wrong.
    """
    options, overrides = _parse(arguments)
    own = tuple(argument for argument in arguments if argument not in overrides)
    overrides = [as_group(override) for override in with_remade(overrides)]
    asks_hydra = any(getattr(options, name) for name in _ANSWERED_BY_HYDRA)
    if options.help or options.hydra_help:
        return Command((), ("--help" if options.help else "--hydra-help",), False, True, (), ())
    if options.shell_completion:  # its overrides say what is asked for
        return Command(tuple(overrides), own, False, True, (), ())
    _refuse_ignored(overrides)
    combinations = expand(overrides) if options.multirun else [overrides]
    configs = compose_all(combinations)
    jobs = make_jobs(combinations, configs)
    command = Command(tuple(overrides), own, options.multirun, asks_hydra, tuple(configs), tuple(jobs))
    if len(jobs) < len(combinations) and not command.shows:
        print(f"{len(combinations)} combinations are {len(jobs)} runs: cells of several tables may be the same one")
    return command


def _refuse_ignored(overrides: Sequence[str]) -> None:
    """Raises ConfigError: what Hydra itself would heed, and a launch does not."""
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        if key.startswith(_IGNORED):
            raise ConfigError(
                f"{override}: a launch does not heed {key}, it writes into the working folder: set execution.runs and "
                "execution.artifacts, or change the folder"
            )


def _parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Hydra's own options, and the overrides, which may stand before and after them."""
    from hydra._internal.utils import get_args_parser

    # hydra/launcher/ray.yaml fills the plugin's settings of this name on purpose; and what Ray will do in another version.
    warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/ray' is validated against", category=UserWarning)
    warnings.filterwarnings("ignore", message="Tip: In future versions of Ray", category=FutureWarning)
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
