"""What a method's training gained against the scores of its credit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.credit.report.figures.panels import claim_of
from pipelines.credit.report.learning import PREDICTORS, Cell
from pipelines.credit.report.learning_tables import TITLE, heading
from pipelines.credit.report.results import CreditResult
from pipelines.reporting.figures.style import Figure, colour_of, legend_above, marker_of, pyplot
from pipelines.reporting.names import arm_label, benchmark_title


def draw(study: Sequence[CreditResult], cells: Sequence[Cell]) -> Figure:
    """A row of panels for each benchmark, a panel for each score."""
    benchmarks = list(dict.fromkeys(cell.benchmark for cell in cells))
    shape = len(benchmarks), len(PREDICTORS)
    figure, axes = pyplot().subplots(
        *shape, figsize=(2.6 * shape[1], 2.3 * shape[0] + 0.8), sharey="row", squeeze=False
    )
    for row, benchmark in zip(axes, benchmarks, strict=True):
        row[0].set_ylabel("gain, points")
        for ax, score in zip(row, PREDICTORS, strict=True):
            ax.set_title(benchmark_title(benchmark) if ax is row[0] else "")
            ax.set_xlabel(heading(score))
            _scatter(ax, [cell for cell in cells if cell.benchmark == benchmark], score)
    legend_above(figure, list(axes.flat))
    text = (
        "A point is a method: the gain of held-out success by training with it, against a score of its credit on the benchmark's "
        "reference run. Every score is turned so that more is better."
    )
    return Figure(figure, TITLE, text, claim_of(study))


def _scatter(ax: Any, cells: Sequence[Cell], score: str) -> None:
    for arm in dict.fromkeys(cell.method.partition("-")[2] for cell in cells):
        own = [cell for cell in cells if cell.method.partition("-")[2] == arm]
        x, y = [cell.scores[score] for cell in own], [100 * cell.gain for cell in own]
        ax.plot(x, y, color=colour_of(arm), marker=marker_of(arm), markersize=4, linestyle="none", label=arm_label(arm))
    for cell in cells:
        name = cell.method.partition("-")[0]
        ax.annotate(name, (cell.scores[score], 100 * cell.gain), xytext=(2, 2), textcoords="offset points", fontsize=5)
