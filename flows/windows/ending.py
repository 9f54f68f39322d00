"""The last lines of a launch: what its cells gave, in one table, and where to look further."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flows.launch.jobs import Job, by_cell, cell_names
from flows.streams import say
from pipelines.errors import DataError
from pipelines.run_folder import is_finished

if TYPE_CHECKING:
    from pipelines.reporting.headline import Cell


def show_end(jobs: Sequence[Job], report: Path | None = None) -> None:
    """``report``: where it was made; None: it is said how to make one. Nothing where no run is finished."""
    from pipelines.reporting.headline import headline
    from pipelines.reporting.rendering import show_tables

    finished = [job for job in jobs if is_finished(job.config)]
    if not finished:
        return
    try:
        document = headline(cells_of(jobs, finished))
        show_tables(document)
        say(*document.notes)
    except DataError as error:  # the runs are done, whatever their table is
        print(f"warning: no table of the cells ({error})", file=sys.stderr, flush=True)
    runs = finished[0].config.execution.runs
    if len(jobs) == 1:
        print(f"run:     {finished[0].folder} (run.log, params.yaml, results/)")
    print(f"report:  {report or f'python -m flows.report runs={runs} makes one'}")
    print("pages:   make ui", flush=True)


def cells_of(jobs: Sequence[Job], finished: Sequence[Job]) -> list[Cell]:
    """Each cell of the launch, with its finished runs, whatever warm starts these begin with."""
    from pipelines.reporting.comparable import without_seeds
    from pipelines.reporting.headline import Cell
    from pipelines.reporting.results import read_run

    cells: dict[str, list[Job]] = {}
    for seeds in by_cell(jobs).values():
        alike = without_seeds(seeds[0].config.experiment.values())
        data = getattr(seeds[0].config.experiment.data, "folder", None)  # no value of the configuration
        cells.setdefault(f"{alike} {data}", []).extend(seeds)
    called, done = cell_names([members[0] for members in cells.values()]), {job.folder for job in finished}
    if len(called) == 1:  # nothing to tell it from
        experiment = jobs[0].config.experiment
        called = dict.fromkeys(called, f"{experiment.algorithm.name} {experiment.empg.arm}")
    return [
        Cell(
            called[of[0].folder.parent], [read_run(job.folder / "results") for job in of if job.folder in done], len(of)
        )
        for of in cells.values()
    ]
