"""``make demo``: {GRPO, DAPO} × {EMPG off, full}, two seeds each, at laptop scale, then a table, figures and a report.

The study "demo" is always the last demo's; the runs of all stay in ``runs``."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from flows.__main__ import launch, show
from flows.exits import exit_code, leave
from flows.launch.command import read_command

SWEEP = ["algorithm=grpo,dapo", "empg=off,full", "seed=0,1"]


@exit_code
def main(overrides: Sequence[str]) -> int:
    """``overrides`` go to every run, e.g. ``scale=smoke``. Returns the launch's exit code, or 1 if the report failed."""
    command = read_command(["-m", *SWEEP, *overrides])
    if command.shows:
        return show(command)
    start = time.monotonic()
    code = launch(command)
    if code:
        return code
    from flows.study import publish, study_lock
    from pipelines.reporting.cells import specification_of
    from pipelines.reporting.printing import summary_of
    from pipelines.reporting.rendering import show as show_table
    from pipelines.reporting.results import read_study
    from pipelines.reporting.tables import make_table

    with study_lock():
        report = publish([job.config for job in command.jobs], "demo")
        runs = read_study(Path("results/demo"))
        show_table(summary_of(make_table(specification_of(runs), runs)))
    print(f"table:   {report / 'tables' / 'cells.md'}")
    print(f"report:  {report / 'report.html'}")
    print(f"took {time.monotonic() - start:.0f} s; `make ui` opens the MLflow and Prefect pages")
    return 0


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
