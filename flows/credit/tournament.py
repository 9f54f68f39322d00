"""``make tournament``: the cells of ``conf/experiment/credit``, each method of credit assignment on each benchmark, trained.

A launch as of ``python -m flows -m``, which says before it starts how long it takes."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from flows.__main__ import launch, show
from flows.exits import exit_code, leave
from flows.launch.command import read_command
from flows.launch.jobs import Job, core_seconds
from pipelines.run_folder import is_finished
from pipelines.workers import usable_cores

_USAGE = "usage: python -m flows.credit.tournament '+experiment=glob(credit/*)' seed=0,1,2 scale=laptop"


@exit_code
def main(overrides: Sequence[str]) -> int:
    """Returns the launch's exit code."""
    if {"-h", "--help"} & set(overrides) or not overrides:
        print(_USAGE)
        return 0 if overrides else 2
    command = read_command(["-m", *overrides])
    if command.shows:
        return show(command)
    print(cost_line([job for job in command.jobs if not is_finished(job.config)], usable_cores()), flush=True)
    return launch(command)


def cost_line(jobs: Sequence[Job], cores: int) -> str:
    from flows.windows.terminal import duration

    alone = core_seconds(jobs)
    return f"{len(jobs)} runs to train: about {duration(alone)} of one core, {duration(alone / cores)} on {cores}"


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
