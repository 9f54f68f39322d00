"""The runs of a launch, executed by its launcher until each is finished, has failed, or is lost."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from flows.launch.context import current_launch
from flows.launch.jobs import Job
from flows.launch.launcher import Launcher
from flows.launch.run_state import has_begun
from pipelines.run_folder import is_finished

_KILLED = "its process ended without an error (killed?); launch again to continue"


@dataclass(frozen=True)
class Failure:
    job: Job
    reason: str


def execute(launcher: Launcher, jobs: Sequence[Job]) -> list[Failure]:
    """Execute the jobs in this order, one batch of the launcher's after the other. Returns those that did not finish."""
    lost: dict[Path, str] = {}
    for batch in launcher.batches(jobs):
        lost |= _execute(launcher, batch)
    return [
        Failure(job, _own_reason(job) or lost.get(job.folder, _KILLED)) for job in jobs if not is_finished(job.config)
    ]


def _execute(launcher: Launcher, jobs: Sequence[Job]) -> dict[Path, str]:
    """A killed process takes joblib's whole pool with it, the other runs too. Those that were running are launched again, one by
    one and after all others: whichever it was, alone it takes nobody with it. Returns why runs were lost, by their folders."""
    lost: dict[Path, str] = {}
    waiting, suspects = list(jobs), list[Job]()
    while waiting or suspects:
        batch, waiting = (waiting, []) if waiting else ([suspects.pop(0)], [])
        left = [job for job in batch if not (is_finished(job.config) or _own_reason(job))]
        try:
            if left:
                lost |= _reported(launcher.execute(left))
        except BrokenProcessPool:
            if len(left) == 1:
                continue  # its end stands among the failures
            print("warning: the process of a run was killed (out of memory?): going on with the others, and at the end with "
                  "those that were running, one by one", file=sys.stderr, flush=True)  # fmt: skip
            running = [job for job in left if has_begun(job.folder) and not is_finished(job.config)] or left
            suspects += running
            waiting = [job for job in left if job not in running]
        finally:
            _end_processes()
    return lost


def _reported(lost: dict[Path, str]) -> dict[Path, str]:
    for reason in dict.fromkeys(lost.values()):
        print(f"error: {reason}", file=sys.stderr, flush=True)
    return lost


def _end_processes() -> None:
    """joblib keeps its processes for a next call: there is none, and after Ctrl-C they may still be at work."""
    loky = sys.modules.get("joblib.externals.loky.reusable_executor")
    executor = getattr(loky, "_executor", None)
    if executor is not None:
        executor.terminate(kill_workers=True)


def _own_reason(job: Job) -> str:
    """Why the run failed in this launch, by its own record; empty where it left none."""
    launch = current_launch()
    try:
        return launch.failure_file(job.folder).read_text("utf-8") if launch else ""
    except OSError:
        return ""
