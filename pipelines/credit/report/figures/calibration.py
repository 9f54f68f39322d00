"""The oracle's A by decile of the estimate."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.credit.report.figures.panels import finished, line, panels_of
from pipelines.credit.report.results import CreditResult
from pipelines.reporting.figures.style import QUIET, Figure


def draw(study: Sequence[CreditResult]) -> Figure:
    figure, panels = panels_of(study, "mean A", "decile of the estimate")
    for panel in panels:
        rows = panel.result.profiles[panel.result.profiles["profile"] == "calibration"]
        for arm, method in panel.arms.items():
            own = rows[(rows["method"] == method) & (rows["steps"] > 0)]
            line(panel.ax, list(own["bin"] + 1), own, arm)
            panel.ax.axhline(own["zero"].iloc[0], color=QUIET, linewidth=0.8, linestyle=(0, (4, 3)))
        panel.ax.set_xlim(0.5, 10.5)
        panel.ax.set_xticks((1, 4, 7, 10))
    text = (
        "Mean of the oracle's A over the steps in each tenth of the estimates, lowest left; steps with equal estimates share a tenth, "
        "so that some are empty. An estimate that ranks steps well rises from left to right. Dashed: the mean of all steps. Bands: "
        "95 %, bootstrap over tasks."
    )
    return finished(figure, "Calibration: what steps were worth by decile of the estimate", study, panels, text)
