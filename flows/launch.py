"""A launch: one run or many, and what they share — Prefect's server, MLflow's database, the live overview."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flows.job import LAUNCH, failure_file
from pipelines.config import RunConfig
from pipelines.environments import build
from pipelines.run_folder import is_finished, run_folder

_LAUNCHES = 3


def launch(configs: Sequence[RunConfig], execute: Callable[[], None], *, seen_by_all: Path | None = None) -> int:
    """Execute what is not done; tell what was done already and what failed. Returns the exit code.

    ``seen_by_all``: a folder that other machines' jobs see too, where there are some.

    Raises:
        ConfigError, DataError: one of the runs cannot be played here; nothing was started.
    """
    todo = []
    for config in configs:
        if is_finished(config):
            print(f"done already: {run_folder(config)}", flush=True)
        else:
            todo.append(config)
    if not todo:
        return 0
    for config in todo:
        build(config.experiment.benchmark, config.experiment.data).check()
    with _shared(todo, many=len(configs) > 1, seen_by_all=seen_by_all):
        _execute(execute)
        reasons = {run_folder(config): _reason(config) for config in todo if not is_finished(config)}
    for config in todo:
        if run_folder(config) not in reasons:
            print(f"finished: {run_folder(config)}", flush=True)
    if reasons and len(configs) > 1:
        print(f"\n{len(reasons)} of {len(configs)} runs failed:", file=sys.stderr)
        for folder, reason in reasons.items():
            print(f"  {folder}: {reason}", file=sys.stderr)
    return 1 if reasons else 0


def _execute(execute: Callable[[], None]) -> None:
    """A killed process takes joblib's whole pool with it, the other runs too: they are launched again and continue."""
    for attempt in range(_LAUNCHES):
        try:
            execute()
            break
        except BrokenProcessPool:
            last = attempt == _LAUNCHES - 1
            again = "" if last else ", launching what is left again"
            print(f"warning: the process of a run was killed (out of memory?){again}", file=sys.stderr, flush=True)
        finally:
            _end_processes()


def _end_processes() -> None:
    """joblib keeps its processes for a next call: there is none, and after Ctrl-C they may still be at work."""
    loky = sys.modules.get("joblib.externals.loky.reusable_executor")
    executor = getattr(loky, "_executor", None)
    if executor is not None:
        executor.terminate(kill_workers=True)


@contextmanager
def _shared(configs: Sequence[RunConfig], *, many: bool, seen_by_all: Path | None) -> Iterator[None]:
    from flows.overview import overview
    from flows.prefect_server import prefect_server
    from flows.tracking import create_database

    os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread per run: reproducible, and one run per core
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    uri = configs[0].execution.tracking_uri
    with ExitStack() as stack:
        if seen_by_all is not None:
            seen_by_all = seen_by_all.absolute()
            seen_by_all.mkdir(parents=True, exist_ok=True)
        os.environ[LAUNCH] = tempfile.mkdtemp(suffix=f"-{os.getpid()}", prefix="empg-launch-", dir=seen_by_all)
        stack.callback(shutil.rmtree, os.environ[LAUNCH], ignore_errors=True)
        stack.enter_context(prefect_server(meanwhile=lambda: create_database(uri)))
        if many:
            stack.enter_context(overview(configs))
        yield


def _reason(config: RunConfig) -> str:
    try:
        return (failure_file(config) or run_folder(config)).read_text()
    except OSError:
        return "its process ended without a word (killed?); launch again to continue"
