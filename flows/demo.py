"""``make demo``: {GRPO, DAPO} × {EMPG off, full}, two seeds each, at laptop scale, then a table, figures and a report.

The study "demo" is always the last demo's; the runs of all stay in ``runs``."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from flows.__main__ import launch, show
from flows.exits import exit_code, leave
from flows.launch.command import read_command
from flows.launch.jobs import Job, core_seconds
from flows.streams import say
from flows.windows.terminal import duration
from pipelines.run_folder import is_finished
from pipelines.workers import usable_cores

SWEEP = ["algorithm=grpo,dapo", "empg=off,full", "seed=0,1"]


@exit_code
def main(overrides: Sequence[str]) -> int:
    """``overrides`` go to every run, e.g. ``benchmark=webshop``. Returns the launch's exit code, or 1 if the report failed."""
    command = read_command(["-m", *SWEEP, *overrides])
    if command.shows:
        return show(command)
    say(*what_happens(command.jobs))
    start = time.monotonic()
    code = launch(command)
    if code:
        return code
    from flows.publish import publish, study_lock
    from flows.windows.ending import show_end

    with study_lock():
        report = publish([job.config for job in command.jobs], "demo")
    print(f"took {duration(time.monotonic() - start)}; tables: {report / 'tables'}\n")
    show_end(command.jobs, report / "report.html")
    return 0


def what_happens(jobs: Sequence[Job]) -> tuple[str, str, str]:
    """In three lines, before anything starts."""
    todo = [job for job in jobs if not is_finished(job.config)]
    experiment, cores = jobs[0].config.experiment, usable_cores()
    done = f", {len(jobs) - len(todo)} of them done already" if len(todo) < len(jobs) else ""
    return (
        f"{len(jobs)} runs on {experiment.benchmark.name}{done}: about {duration(core_seconds(todo) / cores)} on {cores} cores.",
        "First one of them makes what all share, the data and a warm start by imitation; then each trains "
        f"{experiment.training.iterations} iterations.",
        "The curves grow in `make ui`, in another terminal. Ctrl-C stops; the same command goes on.",
    )


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
