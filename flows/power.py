"""``python -m flows.power <folder> [comparisons=12] [simulate=400]``: what studies of other sizes could tell, by finished runs.

folder       with finished runs at any depth, of EMPG off and other arms: results/grid, runs
comparisons  among which Holm corrects (default 1: one that was chosen beforehand)
simulate     studies of each design that are played by dice to check it: the share that is significant where there is no
             difference, which should be 5 %, and where it is the one asked for, which should be 80 % (default 0: none)

Of each benchmark: how much differences between arms vary by warm start, by seed, by task and by the dice of single games, and
how many pairs of runs a study needs to tell 3, 5 and 8 points from 0 at 80 % power, and the core-hours that these take.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flows.exits import exit_code, leave, shows_help
from flows.streams import say
from pipelines.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.reporting.power import Design
    from pipelines.reporting.results import RunResult

_KEYS = ("comparisons", "simulate")
_USAGE = "usage: python -m flows.power results/grid [comparisons=12] [simulate=400]"


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if shows_help(arguments, __doc__):
        return 0
    folder, numbers = _asked(arguments)
    from pipelines.reporting.power_page import Asked, power_of
    from pipelines.reporting.rendering import show_tables
    from pipelines.reporting.results import read_study

    for document in power_of(read_study(folder), Asked(**numbers), hours_of):
        print(document.title)
        show_tables(document)
        say(*document.notes, "")
    return 0


def _asked(arguments: Sequence[str]) -> tuple[Path, dict[str, int]]:
    """Raises ConfigError: no folder, two, or a key or number that is none."""
    folders = [argument for argument in arguments if "=" not in argument]
    if len(folders) != 1:
        raise ConfigError(f"{' '.join(folders) or 'no folder'}: name one with finished runs; {_USAGE}")
    if not Path(folders[0]).is_dir():
        raise ConfigError(f"{folders[0]}: there is no such folder; name one with finished runs; {_USAGE}")
    numbers: dict[str, int] = {}
    for key, _, value in (argument.partition("=") for argument in arguments if "=" in argument):
        if key not in _KEYS or key in numbers:
            raise ConfigError(f"{key}={value}: {'given twice' if key in numbers else 'unknown key'}; {_USAGE}")
        if not (value.isascii() and value.isdecimal()) or int(value) < (key == "comparisons"):
            raise ConfigError(f"{key}={value}: give a whole number, of comparisons at least 1; {_USAGE}")
        numbers[key] = int(value)
    return Path(folders[0]), numbers


def hours_of(run: RunResult) -> Callable[[Design], float]:
    """Core-hours of both arms of a design, whose runs are like this one and have the design's games at their end in place of the
    panel's; the arms share their warm starts. NaN where today's code cannot read the run's settings."""
    from flows.launch.jobs import run_seconds, shared, step_seconds
    from pipelines.config import ExperimentConfig

    try:
        experiment = ExperimentConfig.model_validate(run.config)
    except ValueError:  # settings of another time
        return lambda design: float("nan")
    evaluation = experiment.evaluation
    of_run, of_start = run_seconds(experiment), shared(experiment).seconds
    of_game = experiment.benchmark.max_steps * step_seconds(experiment)

    def hours(design: Design) -> float:
        more = (design.tasks * design.samples - evaluation.games * evaluation.samples) * of_game
        return (design.starts * of_start + 2 * design.pairs * (of_run + more)) / 3600

    return hours


if __name__ == "__main__":
    leave(main())
