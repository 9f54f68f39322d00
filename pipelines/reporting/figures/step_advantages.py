"""A_final by step for a success and a failure: the same trajectory under every arm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pipelines.reporting.figures.study import TRAJECTORIES, Panel, analysis_table, panels, why_absent
from pipelines.reporting.figures.style import (
    QUIET,
    Figure,
    caption,
    claim,
    colour_of,
    legend_above,
    marker_of,
    nothing_to_draw,
    pyplot,
)
from pipelines.reporting.results import RunResult

TITLE = "Final advantage by step"
_SAME = ["group", "member", "step", "text"]
_ACTIONS = {True: ("#9DB4C8", "step entropy"), False: ("#7A5195", "step entropy, invalid action")}


def draw(runs: Sequence[RunResult]) -> Figure:
    """A row per benchmark and model, of its first algorithm and seed: a success of the first iteration left, a failure right."""
    shown = [run for run in runs if (table := analysis_table(run, TRAJECTORIES)) is not None and len(table)]
    lacking = why_absent(runs, TRAJECTORIES)
    if not shown:
        return nothing_to_draw(TITLE, f"No run kept a trajectory. {lacking}")
    rows: dict[str, Panel] = {}
    for panel in panels(shown):
        rows.setdefault(panel.setting, panel)
    figure, axes = pyplot().subplots(
        2 * len(rows), 2, figsize=(9.0, 3.9 * len(rows) + 0.9), squeeze=False, height_ratios=[3, 1] * len(rows)
    )
    for i, panel in enumerate(rows.values()):
        for j, success in enumerate((True, False)):
            _draw_trajectory(axes[2 * i][j], axes[2 * i + 1][j], panel, success)
    legend_above(figure, axes.flat)
    says = (
        "One success and one failure of the first iteration, of each setting's first algorithm and seed: arms share that rollout, "
        "so the trajectory is the same and only its advantages differ. Below: the step's entropy, normalised over the batch. The "
        "last step has no future bonus."
    )
    return Figure(figure, TITLE, caption(says, f"Left out: {lacking}." if lacking else ""), claim(shown))


def first_of(run: RunResult, success: bool) -> pd.DataFrame:
    """The steps of the first iteration's success or failure; empty when there was none."""
    steps = analysis_table(run, TRAJECTORIES)
    assert steps is not None
    return steps[(steps["iteration"] == 0) & (steps["success"] == success)]


def _draw_trajectory(ax: Any, below: Any, panel: Panel, success: bool) -> None:
    outcome = "a success" if success else "a failure"
    ax.set_title(f"{panel.benchmark} · {panel.algorithm.upper()}: {outcome}\n{panel.model}")
    ax.axhline(0, color=QUIET, linewidth=1)
    ax.set_ylabel("$A_{final}$")
    below.set(xlabel="step", ylabel="$H_{norm}$", ylim=(0, 1.02), yticks=[0, 1])
    played = {series: first_of(series.runs[0], success) for series in panel.usual}
    shown = next((steps for steps in played.values() if len(steps)), None)
    if shown is None:
        ax.text(0.5, 0.6, "none in the batch", ha="center", color=QUIET, transform=ax.transAxes)
        return
    for series, steps in played.items():
        if _same(steps, shown):
            ax.plot(
                steps["step"] + 1, steps["A_final"], color=colour_of(series.arm), linewidth=1.6,
                marker=marker_of(series.arm), markersize=4, label=series.label,
            )  # fmt: skip
    for valid, (colour, label) in _ACTIONS.items():
        bars = shown[shown["valid"] == valid]
        if len(bars):
            below.bar(bars["step"] + 1, bars["H_norm"], width=0.7, color=colour, label=label)
    for each in (ax, below):
        each.set_xlim(0.4, len(shown) + 0.6)
        each.set_xticks(range(1, len(shown) + 1, 1 + len(shown) // 16))


def _same(steps: pd.DataFrame, shown: pd.DataFrame) -> bool:
    return bool(steps[_SAME].reset_index(drop=True).equals(shown[_SAME].reset_index(drop=True)))
