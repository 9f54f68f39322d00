"""KL loss against iterations, as the paper's Figure 1."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.reporting.figures.curves import metric_curves
from pipelines.reporting.figures.study import trained
from pipelines.reporting.figures.style import Figure, nothing_to_draw
from pipelines.reporting.results import RunResult

TITLE = "KL loss against iterations"


def draw(runs: Sequence[RunResult]) -> Figure:
    """Of the runs that have a KL loss: where its coefficient is 0, there is no reference and nothing is estimated."""
    with_loss = [run for run in runs if run.config["training"]["kl_coefficient"] > 0]
    if trained(runs) and not trained(with_loss):
        return nothing_to_draw(TITLE, "No run has a KL loss (training.kl_coefficient=0), so none was estimated.")
    return metric_curves(
        with_loss,
        metric="update/kl",
        label="KL loss (nats per token)",
        title=TITLE,
        text="KL between the trained policy and the frozen reference, as the update's loss estimates it on its own batch.",
    )
