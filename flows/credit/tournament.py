"""``make tournament``: the cells of ``conf/experiment/credit``, each method of credit assignment on each benchmark, trained.

A launch as of ``python -m flows -m``, which says before it starts how long it takes. The results of what finished go to
``results/tournament``, beside those of earlier launches, and the report on credit is made anew with them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from flows.__main__ import launch, show
from flows.credit.study import STUDY, TOURNAMENT, report
from flows.exits import exit_code, leave
from flows.launch.command import read_command
from flows.launch.jobs import Job, core_seconds
from flows.publish import study_lock
from pipelines.reporting.report import collect
from pipelines.run_folder import is_finished, run_folder
from pipelines.workers import usable_cores

_USAGE = "usage: python -m flows.credit.tournament '+experiment=glob(credit/*)' seed=0,1,2 scale=laptop"


@exit_code
def main(overrides: Sequence[str]) -> int:
    """Returns the launch's exit code, or that of the report. Runs that failed keep no others from it."""
    if {"-h", "--help"} & set(overrides) or not overrides:
        print(_USAGE)
        return 0 if overrides else 2
    command = read_command(["-m", *overrides])
    if command.shows:
        return show(command)
    print(cost_line([job for job in command.jobs if not is_finished(job.config)], usable_cores()), flush=True)
    code = launch(command)
    return code or _publish([job for job in command.jobs if is_finished(job.config)])


def _publish(jobs: Sequence[Job]) -> int:
    with study_lock():
        collect([run_folder(job.config) for job in jobs], TOURNAMENT)
        if STUDY.is_dir():
            return report()
    print(f"results: {TOURNAMENT}; make credit scores the methods, and its report will hold these results against them")
    return 0


def cost_line(jobs: Sequence[Job], cores: int) -> str:
    from flows.windows.terminal import duration

    alone = core_seconds(jobs)
    return f"{len(jobs)} runs to train: about {duration(alone)} of one core, {duration(alone / cores)} on {cores}"


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
