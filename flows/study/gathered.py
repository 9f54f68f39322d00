"""What the finished runs of a study gave, with the time that they took."""

from __future__ import annotations

from pathlib import Path

from flows.study.plan import Plan
from pipelines.files import read_json
from pipelines.reporting.results import read_run
from pipelines.reporting.study.results import Played, gather, read_registered


def gathered(plan: Plan, folder: Path) -> Played:
    """``folder``: the study's. Raises DataError: a run is not as it was registered."""
    runs = [read_run(job.folder / "results") for job in plan.jobs]
    seconds = [run_seconds(job.folder) for job in plan.jobs]
    return gather(read_registered(folder), runs, seconds, plan.registration.tasks)


def run_seconds(folder: Path) -> float:
    """Of the process that finished the run; NaN where it left no record. What a killed one had spent before is not in it."""
    try:
        timing = read_json(folder / "timing.json")
        return float(timing["run_s"]) + float(timing["startup_s"])
    except (OSError, ValueError, KeyError, TypeError):
        return float("nan")
