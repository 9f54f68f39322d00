"""Where in the episode the error lies."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.credit.report.figures.panels import finished, line, panels_of
from pipelines.credit.report.results import CreditResult
from pipelines.reporting.figures.style import QUIET, Figure

PARTS = ("first", "2nd", "3rd", "4th", "last")


def draw(study: Sequence[CreditResult]) -> Figure:
    figure, panels = panels_of(study, "mean squared error", "fifth of the episode")
    for panel in panels:
        rows = panel.result.profiles[panel.result.profiles["profile"] == "positions"]
        for arm, method in panel.arms.items():
            own = rows[rows["method"] == method]
            line(panel.ax, list(own["bin"]), own, arm)
            panel.ax.plot(
                own["bin"], own["zero"], color=QUIET, linewidth=1.0, linestyle=(0, (4, 3)), label="an estimate of 0"
            )
        panel.ax.set_xticks(range(len(PARTS)), PARTS)
    text = (
        "Mean squared error in each fifth of the episodes after the estimate's best scale (one for all steps), without the oracle's "
        "own error. Dashed: what an estimate of 0 leaves, the mean square of A. Bands: 95 %, bootstrap over tasks."
    )
    return finished(figure, "Where in the episode the error lies", study, panels, text)
