"""The page of MLflow that compares the runs of a grid: a mean curve for each cell.

MLflow's pages read what they show from an experiment's tag ``mlflow.sharedViewState.<key>`` (as its own "Share" button writes
it), and the key from the address.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

_CURVES = ("evaluation/success", "rollout/success", "update/kl", "entropy/step_mean")
_SECTION = "comparison"
_TAG = "comparison."  # and a benchmark: the key of its view
_GRIDS = 20
_TRAINING = "workflowType=machine_learning"  # else it opens its pages for traces, of which there are none
_AS_LOGGED = {"xAxisKey": "step", "lineSmoothness": 0, "useGlobalLineSmoothing": False, "useGlobalXaxisKey": False}


def share_comparisons(client: Any, experiment: str, grid: str, benchmarks: Iterable[str]) -> dict[str, str]:
    """Keep a view of each benchmark in the experiment, for a chart has no filter of its own: numbers of two benchmarks would share
    its axes. Returns the tags by which ``last_comparisons`` finds them. ``grid``: MLflow's id of the grid's run."""
    tags = {}
    for benchmark in dict.fromkeys(benchmarks):
        text = json.dumps(_view(grid, benchmark))
        key = sha256(text.encode()).hexdigest()
        client.set_experiment_tag(experiment, f"mlflow.sharedViewState.{key}", text)
        tags[f"{_TAG}{benchmark}"] = key
    return tags


def last_comparisons(client: Any, base: str) -> dict[str, str]:
    """By "comparison of <benchmark>", the address of the comparison of the last grid with that benchmark, of the last ``_GRIDS`` of
    all; none where none was launched."""
    experiment = _experiment(client)
    if experiment is None:
        return {}
    found = client.search_runs([experiment], "tags.level = 'grid'", order_by=["tags.launched DESC"], max_results=_GRIDS)
    keys = {tag: key for run in reversed(found) for tag, key in run.data.tags.items() if tag.startswith(_TAG)}
    page = f"{base}/#/experiments/{experiment}/runs"
    return {
        f"comparison of {tag.removeprefix(_TAG)}": f"{page}?viewStateShareKey={key}&compareRunsMode=CHART&{_TRAINING}"
        for tag, key in sorted(keys.items())
    }


def runs_page(client: Any, base: str) -> str:
    """The table of all runs; where there are none, MLflow's first page."""
    experiment = _experiment(client)
    return f"{base}/?{_TRAINING}" if experiment is None else f"{base}/#/experiments/{experiment}/runs?{_TRAINING}"


def _experiment(client: Any) -> str | None:
    from pipelines.tracking.mlflow.database import EXPERIMENT

    experiment = client.get_experiment_by_name(EXPERIMENT)
    return None if experiment is None else experiment.experiment_id


def _view(grid: str, benchmark: str) -> dict[str, Any]:
    """The page makes a chart of every other metric itself, below these. Curves are drawn as they were logged, not smoothed. Sorted
    by anything but the date, the page does not add the runs' parents, which have no numbers and would count in their groups."""
    curves = [_chart("LINE", metric) | _AS_LOGGED for metric in _CURVES]
    return {
        "searchFilter": f"tags.grid = '{grid}' and tags.level = 'run' and tags.benchmark = '{benchmark}'",
        "orderByKey": "tags.`cell`",
        "orderByAsc": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        "runsHiddenMode": "SHOW_ALL",
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "cell"}]},
        "useGroupedValuesInCharts": True,
        "compareRunSections": [{"uuid": _SECTION, "name": "Comparison", "display": True, "isReordered": False}],
        "compareRunCharts": [*curves, _chart("BAR", _CURVES[0])],
    }


def _chart(kind: str, metric: str) -> dict[str, Any]:
    chart = {"type": kind, "uuid": f"{kind} {metric}", "metricSectionId": _SECTION, "metricKey": metric}
    return chart | {"selectedMetricKeys": [metric], "runsCountToCompare": 100, "deleted": False, "isGenerated": False}
