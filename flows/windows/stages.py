"""How a stage is called: as a Prefect task or plainly, and again when the machine failed it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from flows.launch.context import current_launch
from flows.windows.prefect_server import mark_crashed
from pipelines.errors import PlatformError

T = TypeVar("T")
# What a server that is slow may take of a run: so many seconds, and this share of the run's time.
_PATIENCE_S, _SHARE = 20.0, 0.05


class Stages(Protocol):
    """Calls the stages of one run. Tried again are failures of the machine (OSError), never the user's or the mathematics'."""

    @property
    def in_prefect(self) -> bool:
        """Whether Prefect still shows them."""
        ...

    def call(self, name: str, iteration: int | None, work: Callable[[], T], retries: int) -> T: ...


class PlainStages:
    """Without Prefect."""

    in_prefect = False

    def call(self, name: str, iteration: int | None, work: Callable[[], T], retries: int) -> T:
        while True:
            try:
                return work()
            except Exception as error:
                if retries == 0 or not _worth_retrying(error):
                    raise
                retries -= 1


class PrefectStages:
    """Each stage is a task of the Prefect flow run around. When Prefect fails, or takes too much of the run's time, one warning is
    given and the stages go on without it."""

    def __init__(self) -> None:
        self.in_prefect = True
        self._began, self._waited = time.monotonic(), 0.0

    def call(self, name: str, iteration: int | None, work: Callable[[], T], retries: int) -> T:
        results: list[T] = []  # Prefect may fail after the work was done
        errors: list[Exception] = []
        worked, began = 0.0, time.monotonic()

        def recorded() -> None:
            nonlocal worked
            start = time.monotonic()
            try:
                results.append(work())
            except Exception as error:
                errors.append(error)
                raise
            finally:
                worked += time.monotonic() - start

        if self.in_prefect:
            try:
                _task(name, iteration, recorded, retries)()
            except Exception as error:
                if any(error is own for own in errors):
                    raise
                warn_without_prefect(error)
                self.in_prefect = False
            else:
                self.waited(time.monotonic() - began - worked)
        return results[0] if results else PlainStages().call(name, iteration, work, retries)

    def waited(self, seconds: float) -> None:
        """For Prefect, so long: a server that answers late is given up before the run is."""
        self._waited += seconds
        run_s = time.monotonic() - self._began
        if self.in_prefect and self._waited > _PATIENCE_S + _SHARE * run_s:
            self.in_prefect = False
            warn_without_prefect(TimeoutError(f"its server is slow, it took {self._waited:.0f} of {run_s:.0f} s"))


def end_killed_flow_runs(name: str) -> None:
    """Called inside a flow run while its run's lock is held: whatever else Prefect shows running under its name was killed."""
    from prefect.runtime import flow_run

    launch = current_launch()
    if launch is not None and launch.prefect is not None:
        mark_crashed(launch.prefect, name, but=str(flow_run.id))


def warn_without_prefect(error: BaseException) -> None:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    print(f"warning: Prefect failed, the work goes on without its page ({reason})", file=sys.stderr, flush=True)


def _task(name: str, iteration: int | None, work: Callable[[], None], retries: int) -> Callable[[], Any]:
    from prefect import task
    from prefect.cache_policies import NO_CACHE

    label = name if iteration is None else f"{name} {iteration}"
    made: Callable[[], Any] = task(
        name=name, task_run_name=label, retries=retries, cache_policy=NO_CACHE, persist_result=False,
        retry_condition_fn=_prefect_worth_retrying,
    )(work)  # fmt: skip
    return made


def _prefect_worth_retrying(_task: Any, _run: Any, state: Any) -> bool:
    return _worth_retrying(getattr(state.data, "exception", state.data))


def _worth_retrying(error: object) -> bool:
    return isinstance(error, OSError) and not isinstance(error, PlatformError)
