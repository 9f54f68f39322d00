"""The same trajectory under every arm of a panel: what the figures of single steps have in common."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from pipelines.reporting.figures.study import TRAJECTORIES, Panel, Series, analysis_table
from pipelines.reporting.figures.style import QUIET, colour_of, marker_of
from pipelines.reporting.results import RunResult

_SAME = ["group", "member", "step", "text"]


def with_trajectories(runs: Sequence[RunResult]) -> list[RunResult]:
    """The runs that kept some."""
    return [run for run in runs if (table := analysis_table(run, TRAJECTORIES)) is not None and len(table)]


def played_alike(panel: Panel, success: bool) -> dict[Series, pd.DataFrame]:
    """The first iteration's success or failure of each arm's first seed, by arm: its steps, in order. Arms share the rollout of
    the first iteration; what is another trajectory than the first arm's is left out. Empty when no arm has one."""
    found = {series: _first_of(series.runs[0], success) for series in panel.usual}
    first = next((steps for steps in found.values() if len(steps)), None)
    return {series: steps for series, steps in found.items() if first is not None and steps[_SAME].equals(first[_SAME])}


def _first_of(run: RunResult, success: bool) -> pd.DataFrame:
    steps = analysis_table(run, TRAJECTORIES)
    assert steps is not None
    chosen = steps[(steps["iteration"] == 0) & (steps["success"] == success)]
    return chosen.sort_values("step").reset_index(drop=True)


def plot_column(ax: Any, series: Series, steps: pd.DataFrame, column: str) -> None:
    """A declared column of one arm against the steps."""
    ax.plot(
        steps["step"] + 1, steps[column], color=colour_of(series.arm), linewidth=1.6, marker=marker_of(series.arm),
        markersize=4, label=series.label,
    )  # fmt: skip


def over_steps(axes: Sequence[Any], count: int) -> None:
    for ax in axes:
        ax.set_xlim(0.4, count + 0.6)
        ax.set_xticks(range(1, count + 1, 1 + count // 16))


def none_played(ax: Any) -> None:
    ax.text(0.5, 0.6, "none in the batch", ha="center", color=QUIET, transform=ax.transAxes)


def symbol(column: str) -> str:
    """A column's name as an axis shows it: "A_final" with an index, others as they are."""
    if found := re.fullmatch(r"([A-Za-z]+)_([A-Za-z0-9]+)", column):
        return f"${found[1]}_{{{found[2]}}}$"
    return column.replace("$", r"\$")
