"""One run of a launch, in this process or in one of a launcher's."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from contextlib import nullcontext, suppress

from flows.exits import line_of
from flows.launch.context import LaunchContext, current_launch
from flows.launch.run_state import RunState
from flows.windows.run_log import RunLog
from pipelines.config import RunConfig
from pipelines.errors import PlatformError
from pipelines.passwords import without_passwords
from pipelines.planning.room import check_room
from pipelines.run_folder import is_finished, run_folder


def run_job(config: RunConfig) -> None:
    """Execute or resume the run, unless it is finished. A failure is printed and kept for the launch's report, and stops no other
    run."""
    launch = current_launch()
    if launch is None:
        raise RuntimeError("a run is executed inside of a launch")
    os.chdir(launch.working_folder)  # Ray starts its processes elsewhere
    if is_finished(config):
        return
    _end_with(launch)
    try:
        config.experiment.check_machine()  # a job on another machine is the first to look there
        check_room(config)
        _run(config, launch)
    except PlatformError as error:
        _keep(str(error), config, launch)
    except Exception as error:
        reason = line_of(error)
        if reason is None:  # a bug: its traceback is wanted
            print(without_passwords(traceback.format_exc()), end="", file=sys.stderr, flush=True)
        _keep(reason or f"{type(error).__name__}: {error}", config, launch)


def _run(config: RunConfig, launch: LaunchContext) -> None:
    """As a flow run of Prefect's, whose tasks are the stages."""
    from flows.windows.final_tables import run_table
    from flows.windows.observers import RunObserver, run_name

    folder = run_folder(config)
    if launch.overview and launch.prefect:
        folder.mkdir(parents=True, exist_ok=True)
        RunState("starting Prefect").write(folder)  # which takes some seconds to import
    from flows.windows.prefect_pages import run_page
    from pipelines.experiment import run_experiment

    with run_page(config, launch) if launch.prefect else nullcontext() as page:
        observer = RunObserver(config, folder, in_flow=page is not None and page.is_open)
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
        if page is not None:
            table = run_name(folder), lambda: run_table(folder / "results")
            page.finish(f"results in {folder / 'results'}", failed=False, table=table)


def _keep(reason: str, config: RunConfig, launch: LaunchContext) -> None:
    reason = without_passwords(reason.replace("\n", " "))
    folder = run_folder(config)
    print(f"error: {folder}: {reason}", file=sys.stderr, flush=True)
    RunLog(folder).say(f"error: {reason}")
    with suppress(OSError):  # a full disk: it was printed
        launch.failure_file(folder).write_text(reason, "utf-8", "backslashreplace")


def _end_with(launch: LaunchContext) -> None:
    """A launcher's process whose launch was killed ends too: the next launch finds its runs free and continues them."""
    name = "ends with its launch"
    if os.getppid() != launch.process or any(thread.name == name for thread in threading.enumerate()):
        return

    def watch() -> None:
        while os.getppid() == launch.process:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, name=name, daemon=True).start()
