"""The pages of a launch and of its runs in Prefect: flow runs, opened and closed around the work.

Prefect is a window, not a pillar: whatever it raises costs its page, with one warning, and the work goes on.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any
from uuid import UUID, uuid4

from flows.launch.context import LaunchContext
from flows.launch.jobs import Job, digest, title
from flows.windows.final_tables import grid_table, publish_table
from flows.windows.observers import run_name
from flows.windows.prefect_server import mark_crashed
from flows.windows.stages import warn_without_prefect
from pipelines.config import RunConfig
from pipelines.passwords import without_passwords
from pipelines.run_folder import run_folder

_DRAIN_S = 5.0


class Page:
    """A flow run around a ``with`` block, whose errors pass. ``name``: of the flow; ``title``: of this run of it; ``parameters``:
    what the page shows as such; ``parent``: the flow run above it."""

    def __init__(
        self,
        name: str,
        title: str,
        parameters: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        parent: str | None = None,
    ) -> None:
        self._name, self._title, self._tags, self._parent = name, title, tags, parent
        self._parameters = dict(parameters or {})
        self._opened: ExitStack | None = None
        self._engine: Any = None
        self._table: tuple[str, Callable[[], str]] | None = None
        self._outcome = ("Completed", "")

    @property
    def is_open(self) -> bool:
        return self._opened is not None

    @property
    def flow_run(self) -> str | None:
        """Prefect's id of it; None where the page is not there."""
        return str(self._engine.flow_run.id) if self.is_open else None

    def finish(self, message: str, *, failed: bool, table: tuple[str, Callable[[], str]]) -> None:
        """What the page shall show once the block is left. ``table``: its key, and what makes its text."""
        self._outcome, self._table = ("Failed" if failed else "Completed", message), table

    def __enter__(self) -> Page:
        try:
            self._open()
        except Exception as error:
            self._lose(error)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opened is None:
            return
        try:
            if error is None:
                self._succeed()
            self._opened.__exit__(kind, error, trace)
            _deliver()
        except Exception as raised:
            if raised is not error:
                self._lose(raised)
        except BaseException as raised:
            if raised is not error:
                raise

    def _open(self) -> None:
        from prefect import Flow
        from prefect.client.orchestration import get_client
        from prefect.flow_engine import FlowRunEngine
        from prefect.states import Pending

        # The block is what runs; the flow is its name. Tags are the flow run's: its tasks would ask for a slot of each.
        flow = Flow(_in_the_block, name=self._name, persist_result=False, validate_parameters=False)
        with get_client(sync_client=True) as client:
            above = None if self._parent is None else _task_run(client, flow, UUID(self._parent))
            flow_run = client.create_flow_run(
                flow,
                name=self._title,
                parameters=self._parameters,
                tags=self._tags,
                parent_task_run_id=above,
                state=Pending(),
            )
        self._engine = FlowRunEngine(flow=flow, flow_run=flow_run)
        with ExitStack() as stack:
            stack.enter_context(self._engine.start())
            stack.enter_context(self._engine.run_context())
            self._opened = stack.pop_all()

    def _succeed(self) -> None:
        from prefect.states import State, StateType

        kind, message = self._outcome
        if self._table is not None:
            publish_table(*self._table)
        self._engine.handle_success(State(type=StateType(kind.upper()), message=message))

    def _lose(self, error: BaseException) -> None:
        self._opened = None
        warn_without_prefect(error)


def launch_page(jobs: Sequence[Job], prefect: str | None) -> Page | None:
    """Of a launch of several runs; None where Prefect has no page of it. Opened while the jobs are claimed: whatever else Prefect
    shows running under its title was killed."""
    if prefect is None or len(jobs) == 1:
        return None
    name = f"{title(jobs)} {digest(jobs)[:6]}"
    mark_crashed(prefect, name)
    command = without_passwords(shlex.join(["python", "-m", "flows", *sys.argv[1:]]))
    return Page("grid", name, {"command": command, "runs": [str(job.folder) for job in jobs]})


def launch_table(jobs: Sequence[Job]) -> tuple[str, Callable[[], str]]:
    return f"grid-{digest(jobs)}", lambda: grid_table(jobs)


def run_page(config: RunConfig, launch: LaunchContext) -> Page:
    """Of one run, below its launch's page."""
    experiment, folder = config.experiment, run_folder(config)
    labels = [
        experiment.benchmark.name,
        experiment.model.name,
        experiment.algorithm.name,
        f"empg-{experiment.empg.arm}",
    ]
    parameters = {"command": config.command, **experiment.values()}
    return Page(
        "run", run_name(folder), parameters, [*labels, f"seed-{experiment.seed}", experiment.scale], launch.flow_run
    )


def _task_run(client: Any, flow: Any, flow_run: UUID) -> UUID:
    """By which Prefect shows a flow run below another one, of whatever process."""
    from prefect import Task
    from prefect.states import Pending

    made = client.create_task_run(
        Task(_in_the_block, name=flow.name), flow_run_id=flow_run, dynamic_key=str(uuid4()), state=Pending()
    )
    return UUID(str(made.id))


def _in_the_block() -> None: ...


def _deliver() -> None:
    """Let Prefect send what it still holds about the tasks: this process may be ended without notice."""
    from prefect.events.worker import EventsWorker

    with suppress(Exception):
        EventsWorker.drain_all(timeout=_DRAIN_S)
