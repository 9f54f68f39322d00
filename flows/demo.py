"""``make demo``: {GRPO, DAPO} × {EMPG off, full}, two seeds each, at laptop scale, then a table, figures and a report.

The study "demo" is always the last demo's; the runs of all stay in ``runs``."""

from __future__ import annotations

import sys
import time

from flows.__main__ import leave
from flows.__main__ import main as launch_many
from flows.compose import compose, expand
from pipelines.errors import PlatformError

SWEEP = ["algorithm=grpo,dapo", "empg=off,full", "seed=0,1"]


def main(overrides: list[str]) -> int:
    """``overrides`` go to every run, e.g. ``scale=smoke``. Returns the launch's exit code, or 1 if the report failed."""
    start = time.monotonic()
    code = launch_many(["-m", *SWEEP, *overrides])
    if code:
        return code
    from flows.study import publish
    from pipelines.reporting.printing import show
    from pipelines.reporting.results import find_results, read_runs
    from pipelines.reporting.tables import make_table

    try:
        report = publish([compose(job) for job in expand([*SWEEP, *overrides])], "demo")
        show(make_table(read_runs(find_results(report.parent.parent / "results" / "demo"))))
    except PlatformError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"table:   {report / 'tables' / 'table.md'}")
    print(f"report:  {report / 'report.html'}")
    print(f"took {time.monotonic() - start:.0f} s; `make ui` opens the MLflow and Prefect pages")
    return 0


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
