"""The final advantage by step for a success and a failure: the same trajectory under every arm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.reporting.figures.steps import (
    none_played,
    over_steps,
    played_alike,
    plot_column,
    symbol,
    with_trajectories,
)
from pipelines.reporting.figures.study import TRAJECTORIES, Panel, leading, why_absent
from pipelines.reporting.figures.style import QUIET, Figure, finished, nothing_to_draw, pyplot, title_of
from pipelines.reporting.results import RunResult
from pipelines.schemas import FINAL_ADVANTAGE

TITLE = "Final advantage by step"
_ENTROPY = "H_norm"
_ACTIONS = {True: ("#9DB4C8", "step entropy"), False: ("#7A5195", "step entropy, invalid action")}


def draw(runs: Sequence[RunResult]) -> Figure:
    """A row per benchmark and model, of its first algorithm and seed: a success of the first iteration left, a failure right.
    The entropies of the steps stand below where a run declares them."""
    shown = with_trajectories(runs)
    lacking = why_absent(runs, TRAJECTORIES)
    if not shown:
        return nothing_to_draw(TITLE, f"No run kept a trajectory. {lacking}")
    rows = leading(shown)
    figure, axes = pyplot().subplots(
        2 * len(rows),
        2,
        figsize=(9.0, 3.9 * len(rows) + 0.9),
        squeeze=False,
        sharey="row",
        height_ratios=[3, 1] * len(rows),
    )
    for i, panel in enumerate(rows):
        for j, success in enumerate((True, False)):
            _draw_trajectory(axes[2 * i][j], axes[2 * i + 1][j], panel, success)
    text = (
        "One success and one failure of the first iteration, of each setting's first algorithm and seed: arms share that rollout, "
        "so the trajectory is the same and only its advantages differ."
    )
    entropies = (
        "Below: the step's entropy, normalised over the batch. The last step has no future bonus."
        if any(_ENTROPY in run.info.column_names for run in shown)
        else ""
    )
    return finished(figure, TITLE, shown, text, entropies, f"Left out: {lacking}." if lacking else "")


def _draw_trajectory(ax: Any, below: Any, panel: Panel, success: bool) -> None:
    ax.set_title(title_of(panel, "a success" if success else "a failure"))
    ax.axhline(0, color=QUIET, linewidth=1)
    ax.set_ylabel(symbol(FINAL_ADVANTAGE))
    below.set(xlabel="step", ylabel=symbol(_ENTROPY), ylim=(0, 1.02), yticks=[0, 1])
    played = played_alike(panel, success)
    if not played:
        none_played(ax)
        return
    for series, steps in played.items():
        plot_column(ax, series, steps, FINAL_ADVANTAGE)
    shown = next((steps for steps in played.values() if _ENTROPY in steps), None)
    if shown is None:
        below.set_axis_off()
    else:
        for valid, (colour, label) in _ACTIONS.items():
            bars = shown[shown["valid"] == valid]
            if len(bars):
                below.bar(bars["step"] + 1, bars[_ENTROPY], width=0.7, color=colour, label=label)
    over_steps((ax, below), len(next(iter(played.values()))))
