"""Step entropy against iterations."""

from collections.abc import Sequence

from pipelines.reporting.figures.curves import metric_curves
from pipelines.reporting.figures.style import Figure
from pipelines.reporting.results import RunResult


def draw(runs: Sequence[RunResult]) -> Figure:
    return metric_curves(
        runs,
        "entropy/step_mean",
        "mean step entropy (nats)",
        "Step entropy against iterations",
        "Mean over the steps of each iteration's batch, under the policy that played them.",
    )
