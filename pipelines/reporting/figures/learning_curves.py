"""Learning curves on the evaluation panel, as the paper's Figure 3: the band spans the seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.reporting.figures.study import headline, headline_note, panels, trained
from pipelines.reporting.figures.style import (
    Figure,
    curve,
    finished,
    grid_of,
    nothing_to_draw,
    over_iterations,
    seeds_note,
)
from pipelines.reporting.results import RunResult, outcomes
from pipelines.reporting.statistics import seed_means

TITLE = "Learning curves"


def draw(runs: Sequence[RunResult]) -> Figure:
    drawn = trained(runs)
    if not drawn:
        return nothing_to_draw(TITLE, "No run was trained: there is one evaluation of each and no curve.")
    figure, placed = grid_of(panels(drawn))
    for panel, ax in placed:
        for series in panel.usual:
            members = series.runs
            iterations = sorted(set.intersection(*(set(run.evaluations["iteration"]) for run in members)))
            means = np.array([seed_means(*headline(members, i)) for i in iterations]) * 100
            curve(ax, np.array(iterations), means, series)
        over_iterations(ax, f"{panel.series[0].runs[0].info.measures['success']} (%)")
    tasks = sorted({len(outcomes([run], "success")[1]) for run in drawn})
    text = f"Mean over the fixed evaluation panel ({' or '.join(map(str, tasks))} tasks), each task played once."
    return finished(figure, TITLE, drawn, text, headline_note(drawn), seeds_note(drawn))
