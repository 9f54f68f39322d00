"""The outcome of a run, or of a launch of several runs, as Markdown: an artifact of its Prefect flow run, a file of its MLflow run."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flows.launch.jobs import Job, by_cell, cell_names
from pipelines.run_folder import is_finished

if TYPE_CHECKING:
    from pipelines.reporting.results import RunResult


def run_table(results: Path) -> str:
    """The run's numbers by task type, with intervals: the table "cells" of reports."""
    from pipelines.reporting.cells import specification_of
    from pipelines.reporting.printing import document_of
    from pipelines.reporting.rendering import markdown
    from pipelines.reporting.results import read_run
    from pipelines.reporting.tables import make_table

    runs = [read_run(results)]
    return markdown(document_of(make_table(specification_of(runs), runs)))


def grid_table(jobs: Sequence[Job]) -> str:
    """Success of the start and of the end, the mean over each cell's finished seeds. No intervals: the study's tables have
    them."""
    from pipelines.reporting.rendering import markdown_table
    from pipelines.reporting.results import read_run

    rows, called = [], cell_names(jobs)
    for folder, seeds in by_cell(jobs).items():
        runs = [read_run(job.folder / "results") for job in seeds if is_finished(job.config)]
        means = [_mean([success[at] for success in map(_success, runs)]) for at in (0, -1)]
        rows.append((called[folder], f"{len(runs)} of {len(seeds)}", *means))
    return markdown_table(("cell", "seeds done", "success at start", "at the end"), rows) + "\n"


def publish_table(name: str, table: Callable[[], str]) -> None:
    """As an artifact of the Prefect flow run around. A window, not a pillar: what cannot be shown is left out."""
    from prefect.artifacts import create_markdown_artifact

    key = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")
    with contextlib.suppress(Exception):
        create_markdown_artifact(table(), key=key, description="the final table")


def _success(run: RunResult) -> list[float]:
    return [float(value) for value in run.evaluations.groupby("iteration")["success"].mean()]


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):.3f}" if values else "—"
