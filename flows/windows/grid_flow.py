"""A launch of many as one Prefect flow run. Its runs are subflows, in whatever process they are.

Prefect is a window, not a pillar: should its server die, one warning is given and the launch goes on without its page.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.context import FlowRunContext, with_context
from prefect.runtime import flow_run
from prefect.states import Completed, Failed, State

from flows.job import LAUNCH
from flows.launch.failures import Failure
from flows.launch.jobs import Job, digest, title
from flows.windows.final_tables import grid_table, publish_table
from flows.windows.prefect_server import mark_crashed
from flows.windows.stages import is_prefects, warn_without_prefect

_FILE = "prefect_context.pickle"  # in the launch's folder: what makes a run of another process a subflow
_work: ContextVar[Callable[[], State[Any]]] = ContextVar("_work")


def _grid() -> State[Any]:
    _context_file().write_bytes(pickle.dumps(with_context(_call)))
    return _work.get()()


# Its function keeps a name of its own: it travels to other processes by that.
grid = flow(name="grid", persist_result=False, validate_parameters=False)(_grid)


def as_grid(jobs: Sequence[Job], work: Callable[[], Sequence[Failure]]) -> Sequence[Failure]:
    """``work``, which executes what is left of ``jobs`` and returns what failed, as a flow run with the table of all that are
    finished. Called while the jobs are claimed: whatever else Prefect shows running under its name was killed."""
    name = f"{title(jobs)} {digest(jobs)[:6]}"
    results: list[Sequence[Failure]] = []
    errors: list[BaseException] = []

    def told() -> State[Any]:
        mark_crashed(os.environ.get("PREFECT_API_URL", ""), name, but=str(flow_run.id))
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)
            raise
        publish_table(f"grid-{digest(jobs)}", lambda: grid_table(jobs))
        failed = len(results[0])
        return (
            Failed(message=f"{failed} of {len(jobs)} runs failed") if failed else Completed(message="all runs are done")
        )

    before = _work.set(told)
    try:
        grid.with_options(flow_run_name=name)(return_state=True)
    except Exception as error:
        if not is_prefects(error):
            raise
        warn_without_prefect(error)
    finally:
        _work.reset(before)
    if errors:
        raise errors[0]
    return results[0] if results else work()  # the flow never began


def in_the_grid(run: Callable[[], None]) -> None:
    """``run`` starts a flow: that of a launch of many, in a process of a launcher, is a subflow of the launch's."""
    if FlowRunContext.get() is None and LAUNCH in os.environ and _context_file().exists():
        pickle.loads(_context_file().read_bytes())(run)
    else:
        run()


def _call(run: Callable[[], None]) -> None:
    run()


def _context_file() -> Path:
    return Path(os.environ[LAUNCH]) / _FILE
