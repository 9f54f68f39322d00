"""MLflow: what its page asks for when it compares 12 runs of 10,000 points each, against runs of 100 points.

The server is the one of ``make ui``; the requests are those of the comparison's page: the runs, and a chart's histories.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, at_most, say, seconds, take_turns

TARGET, REPEATS, RUNS, METRIC = 3.0, 5, 12, "update/kl"
FEW, MANY = 100, 10_000  # points of a run
_SHOWN = 320  # points of a run that MLflow's charts ask for
_ROOT = Path(__file__).parent.parent


def bench_tracking() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        uri = f"sqlite:///{folder}/mlflow.db"
        few, many = _logged(uri, FEW), _logged(uri, MANY)
        try:
            with _served(uri) as base:
                pairs = take_turns(
                    lambda: _asked(base, few), lambda: _asked(base, many), REPEATS, f"a chart of {RUNS} runs"
                )
        finally:
            os.chdir(_ROOT)
    return [at_most(f"page's requests for a chart of {RUNS} runs of {MANY:,} points, over {FEW}", pairs, TARGET, "s")]


def _logged(uri: str, points: int) -> list[str]:
    """Ids of runs with so many points of one metric, logged as a run logs them."""
    from pipelines.tracking.mlflow.database import create_database
    from pipelines.tracking.mlflow.run import RUN_ID, MlflowRun
    from pipelines.tracking.protocol import TrackedRun

    create_database(uri)
    start, ids = time.perf_counter(), []
    for seed in range(RUNS):
        run = Path(f"{points}-{seed}")
        run.mkdir()
        tracker = MlflowRun(uri, TrackedRun(run, run.name, "cell", {"seed": str(seed)}, {}))
        tracker.start()
        for iteration in range(points):
            tracker.metrics(iteration, {METRIC: iteration / points})
        tracker.end("FINISHED")
        ids.append((run / RUN_ID).read_text())
    say(f"{RUNS} runs of {points:,} points logged in {time.perf_counter() - start:.1f} s")
    return ids


@contextmanager
def _served(uri: str) -> Iterator[str]:
    from flows.ui import serving
    from flows.windows.prefect_server import free_port
    from pipelines.tracking.mlflow import MlflowSettings

    port = free_port()
    base, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
    with serving(MlflowSettings(uri=uri).pages(Path(), port)):
        while not _answers(base):
            if time.monotonic() > deadline:
                raise RuntimeError("MLflow's server did not start")
            time.sleep(0.2)
        yield base


def _answers(base: str) -> bool:
    try:
        _get(f"{base}/health")
    except OSError:
        return False
    return True


def _asked(base: str, ids: list[str]) -> float:
    query = "&".join(f"run_ids={run}" for run in ids)
    asked = f"{query}&metric_key={METRIC}&max_results={_SHOWN}"
    history = f"{base}/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?{asked}"
    search = {"experiment_ids": ["1"], "max_results": 100}

    def page() -> None:
        _get(f"{base}/ajax-api/2.0/mlflow/runs/search", json.dumps(search).encode())
        assert len(json.loads(_get(history))["metrics"]) >= RUNS

    return seconds(page)


def _get(url: str, data: bytes | None = None) -> Any:
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as reply:
        return reply.read()
