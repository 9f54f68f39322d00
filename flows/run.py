"""One run as a Prefect flow: order, retries and visibility; nothing of the algorithm."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from flows.job import WITHOUT_PREFECT
from flows.windows.final_tables import publish_table, run_table
from flows.windows.observers import RunObserver, run_name
from flows.windows.stages import is_prefects, warn_without_prefect
from pipelines.config import RunConfig
from pipelines.errors import PlatformError
from pipelines.experiment import run_experiment, run_folder

_DRAIN_S = 5.0


def run(config: RunConfig) -> Path:
    """Execute, resume or find finished, as a flow run named after cell and seed; its stages are the tasks.

    Prefect is a window, not a pillar: should its server die, one warning is given and the run goes on without it.
    """
    folder, experiment = run_folder(config), config.experiment
    if os.environ.get(WITHOUT_PREFECT):
        _observed(config, RunObserver(config, folder, in_flow=False))
        return folder
    from prefect import flow, tags
    from prefect.context import TagsContext
    from prefect.states import Completed

    from flows.windows.grid_flow import in_the_grid

    observers: list[RunObserver] = []
    failures: list[Exception] = []

    @flow(name="run", flow_run_name=run_name(folder), persist_result=False, validate_parameters=False)
    def as_flow() -> Any:
        observers.append(RunObserver(config, folder, in_flow=True))
        try:
            # Without tags of their own: tasks would inherit these, and ask for a slot of each at each start.
            with TagsContext(current_tags=set()):
                _observed(config, observers[0])
        except Exception as error:
            failures.append(error)
            raise
        publish_table(run_name(folder), lambda: run_table(folder / "results"))
        return Completed(message=f"results in {folder / 'results'}")

    labels = (
        experiment.benchmark.name,
        experiment.model.name,
        experiment.algorithm.name,
        f"empg-{experiment.empg.arm}",
    )
    try:
        with tags(*labels, f"seed-{experiment.seed}", experiment.scale):
            in_the_grid(as_flow)
    except PlatformError:
        raise
    except Exception as error:
        if not is_prefects(error):
            raise
        if not observers:  # the flow never began
            warn_without_prefect(error)
            _observed(config, RunObserver(config, folder, in_flow=False))
        elif failures:  # the run's own, which Prefect could not record
            raise failures[0] from None
    if observers and observers[0].in_flow:
        _deliver()
    return folder


def _observed(config: RunConfig, observer: RunObserver) -> None:
    try:
        run_experiment(config, observer)
    except KeyboardInterrupt:
        observer.ended("KILLED")
        raise
    except BaseException:
        observer.ended("FAILED")
        raise
    finally:
        observer.close()


def _deliver() -> None:
    """Let Prefect send what it still holds about the tasks: this process may be ended without notice."""
    from prefect.events.worker import EventsWorker

    with contextlib.suppress(Exception):
        EventsWorker.drain_all(timeout=_DRAIN_S)
