"""``states``: what each notion of state throws together."""

from __future__ import annotations

import sys

from flows.configure.recorded import experiment_of
from flows.credit.asked import Asked, Command, chosen_iterations
from pipelines.config.views import AdvantageView
from pipelines.credit.methods import methods


def _states(asked: Asked) -> None:
    """A table of the states; nothing is written."""
    from pipelines.artifacts import ArtifactStore
    from pipelines.credit.lineage import finished_run, lineage

    info = finished_run(asked.run)
    view = AdvantageView.of(experiment_of(info.config))
    (view,) = methods(view, [view.estimator.name], [view.modulator.arm], asked.settings).values()
    found = lineage(info, ArtifactStore(asked.artifacts))
    iterations = chosen_iterations(asked, len(found.iterations))

    from rich.console import Console
    from rich.table import Table

    from pipelines.credit.aliasing import state_report

    rows = state_report(found, iterations, view.credit.history)
    table = Table(*rows[0], title="states of the steps, each task by itself")
    for row in rows:
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


STATES = Command(_states, ("iterations", "execution.artifacts"), ("credit",))
