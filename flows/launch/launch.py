"""A launch: one run or many, and what they share — Prefect's server, the trackers, the live overview."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from flows.job import CLOSED_TRACKERS, LAUNCH, WITHOUT_PREFECT, failure_file
from flows.launch.claims import claimed
from flows.launch.failures import Failure, show_failures
from flows.launch.jobs import Job, in_order
from flows.launch.launchers import JobFailed
from flows.launch.libraries import calm_libraries
from pipelines.errors import ServerDead
from pipelines.registry import benchmark_spec
from pipelines.run_folder import is_finished

_KILLED = "its process ended without a word (killed?); launch again to continue"

Execute = Callable[[Sequence[Job]], None]  # raises BrokenProcessPool, JobFailed: a launcher lost processes or jobs


def launch(
    jobs: Sequence[Job],
    execute: Execute,
    *,
    batches: Callable[[Sequence[Job]], Sequence[Sequence[Job]]] = lambda jobs: [jobs],
    seen_by_all: Path | None = None,
) -> int:
    """Execute what is not done; tell what was done already and what failed. Returns the exit code.

    ``batches``: of jobs that are executed together, each when its launcher says that the one before has ended.
    ``seen_by_all``: a folder that other machines' jobs see too, where there are some.

    Raises:
        ConfigError, DataError: one of the runs cannot be played here; nothing was started.
        RunLocked: another launch that is running has some of them; nothing was started.
    """
    todo = []
    for job in jobs:
        if is_finished(job.config):
            print(f"done already: {job.folder}", flush=True)
        else:
            todo.append(job)
    if not todo:
        _show_as_one(jobs)
        return 0
    for job in todo:
        benchmark, data = job.config.experiment.benchmark, job.config.experiment.data
        benchmark_spec(benchmark.name).build(benchmark, data).check()
    todo = in_order(todo)
    with (
        claimed([job.folder for job in todo], todo[0].config.execution.runs),
        _shared(todo, jobs, seen_by_all=seen_by_all),
    ):
        failures = _as_one(jobs, lambda: _executed(execute, todo, batches(todo)))
    failed = {failure.job.folder for failure in failures}
    for job in todo:
        if job.folder not in failed:
            print(f"finished: {job.folder}", flush=True)
    if failures and len(jobs) > 1:
        show_failures(failures, jobs)
    return 1 if failures else 0


def _as_one(jobs: Sequence[Job], work: Callable[[], Sequence[Failure]]) -> Sequence[Failure]:
    """Execute as a launch of many that Prefect and the trackers show as one; a single run shows itself."""
    from flows.windows.tracked import TrackedJobs, cell_tags, write_launch_tags

    if len(jobs) == 1:
        if jobs[0].cells:
            write_launch_tags(jobs[0], cell_tags(jobs[0], jobs[0].cells[0]))
        return work()
    trackers = TrackedJobs(jobs)
    trackers.start()
    try:
        if os.environ.get(WITHOUT_PREFECT):
            failures = work()
        else:
            from flows.windows.grid_flow import as_grid

            failures = as_grid(jobs, work)
    except BaseException:
        trackers.end("KILLED")
        raise
    trackers.end("FAILED" if failures else "FINISHED")
    return failures


def _show_as_one(jobs: Sequence[Job]) -> None:
    """Nothing is left to do; but trackers may show the runs below another launch."""
    if len(jobs) > 1:
        from flows.windows.tracked import TrackedJobs

        trackers = TrackedJobs(jobs)
        trackers.start()
        trackers.end("FINISHED")


def _executed(execute: Execute, todo: Sequence[Job], batches: Sequence[Sequence[Job]]) -> list[Failure]:
    said: dict[Path, str] = {}  # by the launcher, of runs that could say nothing themselves
    for batch in batches:
        try:
            _execute(execute, batch)
        except JobFailed as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            said |= {job.folder: str(error) for job in batch}
    return [Failure(job, _reason(job, said.get(job.folder, _KILLED))) for job in todo if not is_finished(job.config)]


def _execute(execute: Execute, jobs: Sequence[Job]) -> None:
    """A killed process takes joblib's whole pool with it, the other runs too. Those that were running are launched again, one by
    one and after all others: whichever it was, alone it takes nobody with it."""
    waiting, suspects = list(jobs), list[Job]()
    while waiting or suspects:
        batch, waiting = (waiting, []) if waiting else ([suspects.pop(0)], [])
        left = [job for job in batch if not (is_finished(job.config) or _has_failed(job))]
        try:
            if left:
                execute(left)
        except BrokenProcessPool:
            if len(left) == 1:
                continue  # its end is told with the failures
            print("warning: the process of a run was killed (out of memory?): going on with the others, and at the end with "
                  "those that were running, one by one", file=sys.stderr, flush=True)  # fmt: skip
            running = [job for job in left if _has_begun(job) and not is_finished(job.config)] or left
            suspects += running
            waiting = [job for job in left if job not in running]
        finally:
            _end_processes()


def _end_processes() -> None:
    """joblib keeps its processes for a next call: there is none, and after Ctrl-C they may still be at work."""
    loky = sys.modules.get("joblib.externals.loky.reusable_executor")
    executor = getattr(loky, "_executor", None)
    if executor is not None:
        executor.terminate(kill_workers=True)


@contextmanager
def _shared(todo: Sequence[Job], jobs: Sequence[Job], *, seen_by_all: Path | None) -> Iterator[None]:
    from flows.windows.prefect_server import prefect_server
    from flows.windows.terminal import overview

    calm_libraries()
    with ExitStack() as stack:
        if seen_by_all is not None:
            seen_by_all = seen_by_all.absolute()
            seen_by_all.mkdir(parents=True, exist_ok=True)
        os.environ[LAUNCH] = _launch_folder(seen_by_all)
        stack.callback(shutil.rmtree, os.environ[LAUNCH], ignore_errors=True)
        try:
            stack.enter_context(prefect_server(meanwhile=partial(_open_trackers, todo)))
        except ServerDead as error:
            print(f"warning: {error}; the launch goes on without Prefect's pages", file=sys.stderr, flush=True)
            os.environ[WITHOUT_PREFECT] = "1"
            stack.callback(os.environ.pop, WITHOUT_PREFECT, None)
        stack.callback(os.environ.pop, CLOSED_TRACKERS, None)
        if len(jobs) > 1:
            stack.enter_context(overview(todo, jobs))
        yield


def _open_trackers(todo: Sequence[Job]) -> None:
    """What cannot be opened is told of here once: this process and the runs then log nothing there."""
    from pipelines.tracking.guard import prepare

    settings = [each for job in todo for each in job.config.execution.trackers.chosen()]
    os.environ[CLOSED_TRACKERS] = json.dumps(prepare(settings, "the launch goes on without it"))


def _launch_folder(seen_by_all: Path | None) -> str:
    """A new one, whose name ends in this process; those that killed launches of this user left on this machine are removed.
    A folder that other machines see holds those of their launches too, whose processes are not to be asked for here."""
    import psutil

    prefix = f"empg-launch-{socket.gethostname()}-"
    for old in (seen_by_all or Path(tempfile.gettempdir())).glob("empg-launch-*"):
        name = re.fullmatch(re.escape(prefix) + r"\w{8}-(\d+)", old.name)
        with suppress(OSError):  # it is gone already
            if name and old.lstat().st_uid == os.getuid() and not psutil.pid_exists(int(name[1])):
                shutil.rmtree(old, ignore_errors=True)
    return tempfile.mkdtemp(suffix=f"-{os.getpid()}", prefix=prefix, dir=seen_by_all)


def _has_begun(job: Job) -> bool:
    """In this launch: what earlier ones told is removed when it starts (``overview``)."""
    return (job.folder / "progress.json").exists()


def _has_failed(job: Job) -> bool:
    file = failure_file(job.folder)
    return file is not None and file.exists()


def _reason(job: Job, otherwise: str) -> str:
    try:
        return (failure_file(job.folder) or job.folder).read_text()
    except OSError:
        return otherwise
