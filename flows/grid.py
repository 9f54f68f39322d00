"""``make grid``: a launch of many cells of the paper's, then its tables, figures and report.

Its results go to ``results/grid``, beside those of earlier grids: tables may be run one after the other. What is done already is not
run again."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from flows.__main__ import leave
from flows.__main__ import main as launch_many
from flows.compose import compose_all, expand
from flows.jobs import make_jobs
from pipelines.errors import PlatformError

_USAGE = """usage: python -m flows.grid '+experiment=glob(table1/*)' seed=0,1,2 scale=laptop

The launch of `python -m flows -m` with the same overrides; then results/grid (the results, for git), archive/grid
(trajectories and checkpoints, for `dvc push`), and by DVC reports/grid (tables, figures, report.html)."""


def main(overrides: Sequence[str]) -> int:
    """Returns the launch's exit code, or 1 if what follows it failed."""
    if {"-h", "--help"} & set(overrides) or not overrides:
        print(_USAGE)
        return 0 if overrides else 2
    start = time.monotonic()
    code = launch_many(["-m", *overrides])
    if code:
        return code
    from flows.study import archive, publish

    try:
        combinations = expand(overrides)
        jobs = make_jobs(combinations, compose_all(combinations))
        configs = [job.config for job in jobs]
        report = publish(configs, "grid")
        _show_tables(report, {cell.partition("/")[0] for job in jobs for cell in job.cells})
        archived = archive(configs, "grid")
    except PlatformError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"report:       {report / 'report.html'}")
    print(f"tables:       {report / 'tables'}   figures: {report / 'figures'}")
    print(f"trajectories: {archived} (tracked by DVC; `dvc push` sends them, and the last checkpoints, to its remote)")
    print(f"took {(time.monotonic() - start) / 60:.0f} min; `make ui` opens MLflow's comparison and Prefect's pages")
    return 0


def _show_tables(report: Path, asked: Iterable[str]) -> None:
    """``asked``: folders of conf/experiment."""
    from pipelines.reporting.cells import read_study
    from pipelines.reporting.deviations import read_settings
    from pipelines.reporting.specification import specifications
    from pipelines.reporting.study_printing import show
    from pipelines.reporting.study_tables import make_study_table

    runs, settings = read_study(Path("results") / report.name), read_settings(Path("reports/paper_settings.json"))
    for name in specifications():
        if name.startswith(tuple(asked)):
            show(make_study_table(name, runs, settings))


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
