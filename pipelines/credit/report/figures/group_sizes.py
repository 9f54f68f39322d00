"""The score against the size of the group that credit is assigned among."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.credit.report.figures.panels import finished, line, panels_of
from pipelines.credit.report.results import ALL, CreditResult
from pipelines.reporting.figures.style import Figure

_SCORE = "rank_corrected"


def draw(study: Sequence[CreditResult]) -> Figure:
    figure, panels = panels_of(study, "rank correlation", "episodes of a group")
    for panel in panels:
        scores = panel.result.scores
        rows = scores[(scores["iteration"] == ALL) & (scores["score"] == _SCORE)]
        rows = rows.assign(members=rows["group_size"].map(panel.result.members))
        for arm, method in panel.arms.items():
            own = rows[rows["method"] == method].sort_values("members")
            line(panel.ax, list(own["members"]), own, arm)
        panel.ax.set_xscale("log", base=2)
        sizes = sorted(set(rows["members"]))
        panel.ax.set_xticks(sizes, [str(size) for size in sizes])
        panel.ax.minorticks_off()
    text = (
        "Rank correlation with the oracle's A within a task, corrected for the oracle's own error. Of each group so many members were "
        "drawn, eight times, and credit assigned among them alone; the largest is the whole group. Bands: 95 %, bootstrap over tasks."
    )
    return finished(figure, "Credit by group size", study, panels, text)
