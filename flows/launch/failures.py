"""The last word of a launch of many: which runs failed, and why."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from flows.launch.jobs import Job, names

_WIDTH = 10_000  # where there is no terminal: a reason stays one line, for whoever searches it


@dataclass(frozen=True)
class Failure:
    job: Job
    reason: str


def show_failures(failures: Sequence[Failure], jobs: Sequence[Job]) -> None:
    """A table on standard error; ``jobs``: all of the launch, whose names tell them apart. Runs that failed for the same
    reason, as those that share what could not be made, have it once."""
    from rich.console import Console
    from rich.table import Table

    called = dict(zip((job.folder for job in jobs), names(jobs), strict=True))
    table = Table()
    table.add_column("run", overflow="fold")
    table.add_column("why", overflow="fold")
    for reason in dict.fromkeys(failure.reason for failure in failures):
        same = [called[failure.job.folder] for failure in failures if failure.reason == reason]
        table.add_row("\n".join(same), reason)
    console = Console(stderr=True, highlight=False, markup=False, width=None if sys.stderr.isatty() else _WIDTH)
    console.print(f"\n{len(failures)} of {len(jobs)} runs failed:", style="bold")
    console.print(table)
    print("the same launch again runs these and what is missing, and nothing else", file=sys.stderr, flush=True)
