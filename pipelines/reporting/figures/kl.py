"""KL loss against iterations, as the paper's Figure 1."""

from collections.abc import Sequence

from pipelines.reporting.figures.curves import metric_curves
from pipelines.reporting.figures.style import Figure
from pipelines.reporting.results import RunResult


def draw(runs: Sequence[RunResult]) -> Figure:
    return metric_curves(
        runs,
        "update/kl",
        "KL loss (nats per token)",
        "KL loss against iterations",
        "KL between the trained policy and the frozen reference, as the update's loss estimates it on its own batch.",
    )
