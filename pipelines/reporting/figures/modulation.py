"""EMPG's g and f against entropy: what it made of the steps of real batches. Drawn for runs that declare these columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipelines.reporting.figures.study import ENTROPY_CHANGE, TRAJECTORIES, Panel, analysis_table, leading, why_absent
from pipelines.reporting.figures.style import FIRST, LAST, QUIET, Figure, finished, nothing_to_draw, pyplot, title_of
from pipelines.reporting.results import RunResult

TITLE = "Gain g and future clarity f against entropy"
RANGE = "entropy/step_range"
Shares = npt.NDArray[np.float64]
_EPISODE = ["iteration", "group", "member"]
_ITERATIONS = (("o", FIRST, "first iteration"), ("D", LAST, "last iteration"))


@dataclass(frozen=True)
class Quantity:
    """``column``: of trajectories.parquet; ``strength``: its k in the configuration; ``of_next``: it is a function of the next
    step's entropy."""

    column: str
    strength: str
    of_next: bool
    xlabel: str
    ylabel: str


GAIN = Quantity("g", "k", False, "normalised entropy of the step", "gain g")
CLARITY = Quantity("f", "k_future", True, "normalised entropy of the next step", "clarity f")
QUANTITIES = (GAIN, CLARITY)


def draw(runs: Sequence[RunResult]) -> Figure:
    """A row per benchmark and model, of its first algorithm and seed: g left, f right."""
    declaring = [run for run in runs if run.last > 0 and {q.column for q in QUANTITIES} & set(run.info.column_names)]
    shown = [run for run in declaring if _used(run)]
    lacking = why_absent(declaring, TRAJECTORIES)
    if not shown:
        return nothing_to_draw(TITLE, f"No run kept steps that EMPG modulated. {lacking}")
    rows = leading(shown)
    figure, axes = pyplot().subplots(len(rows), 2, figsize=(8.8, 3.0 * len(rows) + 0.9), squeeze=False)
    for pair, panel in zip(axes, rows, strict=True):
        for ax, quantity in zip(pair, QUANTITIES, strict=True):
            ax.set_title(title_of(panel))
            _draw_quantity(ax, quantity, panel)
    text = (
        "Points: steps of the kept trajectories, as the advantage stage computed them. Lines: exp(−k·H_norm), for g over its mean "
        "in the batch, which makes the mean of g 1. Grey: where the steps of the first rollout lie; both where entropies are "
        "normalised over the batch. Of each setting's first seed." + "".join(map(_stretched, rows))
    )
    return finished(figure, TITLE, shown, text, f"Left out: {lacking}." if lacking else "")


def _used(run: RunResult) -> list[Quantity]:
    """The quantities that bear on the run's steps. Where an arm has no use for one, it is the same at every step."""
    steps = analysis_table(run, TRAJECTORIES)
    if steps is None or "H_norm" not in run.info.column_names:
        return []
    declared = (quantity for quantity in QUANTITIES if quantity.column in run.info.column_names)
    return [quantity for quantity in declared if steps[quantity.column].nunique() > 1]


def _stretched(panel: Panel) -> str:
    """What normalisation makes the range from 0 to 1: of a policy that is nearly certain, little."""
    run = next((series.runs[0] for series in panel.usual if _used(series.runs[0])), None)
    if run is None or RANGE not in run.metrics:
        return ""
    spans = run.metrics.set_index("iteration")[RANGE].dropna()
    if spans.empty:
        return ""
    return (
        f" {panel.setting}: the step entropies of a batch spanned {spans.iloc[0]:.2g} nats in the first iteration, "
        f"{spans.iloc[-1]:.2g} in the last, {spans.min():.2g} at least."
    )


def _draw_quantity(ax: Any, quantity: Quantity, panel: Panel) -> None:
    ax.set(xlabel=quantity.xlabel, ylabel=quantity.ylabel, xlim=(-0.02, 1.02))
    using = [series.runs[0] for series in panel.usual if quantity in _used(series.runs[0])]
    if not using:
        ax.text(0.5, 0.5, f"no step with {quantity.column}", ha="center", color=QUIET, transform=ax.transAxes)
        return
    run = max(using, key=lambda run: len(_used(run)))  # where both are at work, if there is such an arm
    points = points_of(run, quantity)
    k, h = float(run.config["empg"][quantity.strength]), np.linspace(0, 1, 100)
    one_scale = run.config["empg"]["normalization"] == "batch"  # else each group has its own
    for iteration, (marker, colour, label) in zip(sorted(set(points["iteration"])), _ITERATIONS, strict=False):
        rows = points[points["iteration"] == iteration]
        if one_scale:
            scale = (rows["value"] * np.exp(k * rows["h"])).median()
            ax.plot(h, scale * np.exp(-k * h), color=colour, linewidth=1.2)
        ax.plot(
            rows["h"], rows["value"], marker, markersize=4.5, color=colour, alpha=0.7, markeredgewidth=0, label=label
        )
    top = 1.08 * max(float(points["value"].max()), 1.0)
    ax.set_ylim(0, top)
    if one_scale:
        _histogram(ax, run, top)


def points_of(run: RunResult, quantity: Quantity) -> pd.DataFrame:
    """``iteration``, ``h`` (normalised entropy) and ``value``, a row per step; a trajectory's last step has no next one."""
    steps = analysis_table(run, TRAJECTORIES)
    assert steps is not None
    entropy = steps.groupby(_EPISODE)["H_norm"].shift(-1) if quantity.of_next else steps["H_norm"]
    points = pd.DataFrame({"iteration": steps["iteration"], "h": entropy, "value": steps[quantity.column]})
    return points.astype(np.float64).dropna()


def _histogram(ax: Any, run: RunResult, top: float) -> None:
    """How many steps have which normalised entropy, in bins of 5 %; the tallest bar is a third of the axes high."""
    share = shares_of(run)
    if share is not None:
        ax.bar(np.arange(20) / 20, share / share.max() * top / 3, width=0.05, align="edge", color="#DDDDDD", zorder=0.5)


def shares_of(run: RunResult) -> Shares | None:
    """The shares of the first rollout's steps by normalised entropy, in 20 bins of 5 %; None where they were not kept. Entropies
    are normalised as in the batch of the first iteration, over the steps of the groups that it kept: its steps have both
    entropies, and a line through these pairs gives the scale."""
    table, steps = analysis_table(run, ENTROPY_CHANGE), analysis_table(run, TRAJECTORIES)
    if table is None or steps is None or table.empty:
        return None
    first = steps[steps["iteration"] == steps["iteration"].min()].astype({"H": np.float64, "H_norm": np.float64})
    if first["H_norm"].nunique() < 2:
        return None
    span, lowest = np.polyfit(first["H_norm"], first["H"], 1)
    normalised = (table["entropy_before"].to_numpy(np.float64) - lowest) / span
    shares: Shares = np.histogram(normalised.clip(0, 1), 20, (0, 1))[0] / len(normalised)
    return shares
