"""A panel for each run and estimator, in it a line with its interval for each modulator: what the figures have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipelines.credit.report.cards import title_of
from pipelines.credit.report.results import CreditResult
from pipelines.reporting.figures.style import QUIET, Figure, colour_of, legend_above, marker_of, pyplot
from pipelines.reporting.names import arm_label

_COLUMNS = 4


@dataclass(frozen=True, eq=False)
class Panel:
    """``arms``: the methods of one estimator in one run, by their modulator's arm."""

    result: CreditResult
    arms: dict[str, str]
    ax: Any


def panels_of(study: Sequence[CreditResult], ylabel: str, xlabel: str) -> tuple[Any, list[Panel]]:
    """A figure with a block of rows for each run. The panels of a block share their y axis."""
    blocks = [_by_estimator(result) for result in study]
    counts = [-(-len(block) // _COLUMNS) for block in blocks]
    figure = pyplot().figure(figsize=(2.5 * _COLUMNS, 1.9 * sum(counts) + 0.5 * len(study) + 0.9))
    parts = np.atleast_1d(figure.subfigures(len(study), 1, height_ratios=counts, squeeze=True))
    panels = []
    for result, block, rows, part in zip(study, blocks, counts, parts, strict=True):
        part.suptitle(result.title, x=0.01, ha="left", fontsize=10)
        axes = part.subplots(rows, _COLUMNS, sharey=True, squeeze=False)
        for ax in axes.flat[len(block) :]:
            ax.set_axis_off()
        for ax, (estimator, arms) in zip(axes.flat, block.items(), strict=False):
            ax.set_title(title_of(estimator))
            ax.axhline(0, color=QUIET, linewidth=0.8)
            ax.set_xlabel(xlabel)
            panels.append(Panel(result, arms, ax))
        for row in axes:
            row[0].set_ylabel(ylabel)
    return figure, panels


def line(ax: Any, x: Sequence[float], rows: pd.DataFrame, arm: str) -> None:
    """``rows``: ``value``, ``low`` and ``high`` at each x; where they are not defined, the line breaks."""
    ax.plot(
        x,
        rows["value"],
        color=colour_of(arm),
        marker=marker_of(arm),
        markersize=3.5,
        linewidth=1.5,
        label=arm_label(arm),
    )
    ax.fill_between(x, rows["low"], rows["high"], color=colour_of(arm), alpha=0.15, linewidth=0)


def finished(plot: Any, title: str, study: Sequence[CreditResult], panels: Sequence[Panel], text: str) -> Figure:
    legend_above(plot, [panel.ax for panel in panels])
    return Figure(plot, title, text, claim_of(study))


def claim_of(study: Sequence[CreditResult]) -> str:
    """At what scale the runs were made, and whether stand-ins played."""
    runs = [result.about.run for result in study]
    scales = " and ".join(sorted({run.scale for run in runs})).capitalize()
    stand_in = any(run.stand_in for run in runs)
    return f"{scales} scale{': small stand-in models made here' if stand_in else ''}."


def _by_estimator(result: CreditResult) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for name, method in result.about.methods.items():
        found.setdefault(method.estimator["name"], {})[method.modulator["arm"]] = name
    return found
