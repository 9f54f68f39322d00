"""MLflow's shared comparison in a browser, served by the platform's own command: what is drawn is what was logged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from flows.launch.jobs import Job
from flows.ui import serving, wait_for
from flows.windows.prefect_server import free_port
from flows.windows.tracked import TrackedJobs, tracked_run
from pipelines.run_folder import run_fingerprint
from pipelines.tracking.mlflow import MlflowSettings
from pipelines.tracking.mlflow.run import MlflowRun
from tests.flows.test_jobs import jobs_of
from tests.pipelines.run_records import record
from tests.tracking.databases import with_mlflow

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

SEEDS = (0, 1, 2)
ITERATIONS = range(9)
CURVES = ("evaluation/success", "rollout/success", "update/kl", "entropy/step_mean")


def value(arm: str, seed: int, iteration: int) -> float:
    """Jumps, so that what is smoothed is seen."""
    return 0.1 * seed + (0.5 if iteration % 2 else 0.05) + (0.013 if arm == "full" else 0.0) * iteration


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of that of WebShop's cells, in a launch of two benchmarks."""
    root = tmp_path_factory.mktemp("comparison")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        uri = f"sqlite:///{with_mlflow(root, tmp_path_factory)}"
        seeds = f"seed={','.join(map(str, SEEDS))}"
        jobs = jobs_of(
            "benchmark=webshop,deepsearch",
            "empg=off,full",
            seeds,
            "scale=smoke",
            f"execution.trackers.mlflow.uri={uri}",
        )
        launch = TrackedJobs(jobs)
        launch.start()
        for job in jobs:
            _log(job, uri)
        launch.end("FINISHED")
        pages = MlflowSettings(uri=uri).pages(Path("runs"), free_port())
        with serving(pages) as program:
            addresses = pages.addresses()
            wait_for(addresses, {next(iter(addresses)): program})
            yield addresses["comparison of webshop"]


def _log(job: Job, uri: str) -> None:
    experiment = job.config.experiment
    info = record(
        cell=experiment.cell, seed=experiment.seed, fingerprint=run_fingerprint(experiment), config=experiment.values()
    )
    tracker = MlflowRun(uri, tracked_run(job.folder, info))
    tracker.start()
    for iteration in ITERATIONS:
        far = 10.0 if experiment.benchmark.name == "deepsearch" else 0.0  # another benchmark's would be seen
        said = value(experiment.empg.arm, experiment.seed, iteration) + far
        tracker.metrics(iteration, dict.fromkeys(CURVES, said))
    tracker.end("FINISHED")


@pytest.fixture(scope="module")
def page(chromium: Any, comparison: str) -> Iterator[Any]:
    opened = chromium.new_page(viewport={"width": 1440, "height": 900})
    opened.goto(comparison)
    opened.wait_for_function("document.querySelectorAll('.js-plotly-plot').length >= 4", timeout=180_000)
    yield opened
    opened.close()


def test_what_is_drawn_is_what_was_logged(page: Any) -> None:
    """The points of each mean curve; nothing is smoothed, and no other benchmark's runs are there."""
    logged = {arm: [mean(value(arm, seed, i) for seed in SEEDS) for i in ITERATIONS] for arm in ("off", "full")}
    charts = page.evaluate(_DRAWN)
    assert len(charts) >= len(CURVES)
    for curves in charts[: len(CURVES)]:
        drawn = {tuple(round(y, 6) for y in ys): xs for xs, ys in curves}
        assert drawn.keys() == {tuple(round(y, 6) for y in ys) for ys in logged.values()}
        assert all(xs == list(ITERATIONS) for xs in drawn.values())


def test_groups_count_seeds_and_titles_are_read(page: Any) -> None:
    """At 1,440 pixels, once the assistant is closed, which MLflow opens by itself."""
    close = page.query_selector("[data-component-id='mlflow.assistant.chat_panel.close']")
    if close is not None:
        close.click()
    for curve in CURVES:
        title = page.locator(f"text='{curve}'").first
        title.wait_for()
        assert title.evaluate("(shown) => shown.scrollWidth <= shown.clientWidth + 1"), f"{curve} is cut"
    groups = page.locator("text=/^Group: (webshop )?(off|full)$/")
    assert groups.count() == 2
    assert {groups.nth(n).locator("..").inner_text().split()[-1] for n in range(2)} == {str(len(SEEDS))}


# Of each chart the curves without their bands.
_DRAWN = """() => [...document.querySelectorAll(".js-plotly-plot")]
  .map((plot) => plot.data.filter((trace) => trace.type.startsWith("scatter") && !trace.fill && trace.y.length > 1))
  .filter((traces) => traces.length)
  .map((traces) => traces.map((trace) => [[...trace.x], [...trace.y]]))"""
