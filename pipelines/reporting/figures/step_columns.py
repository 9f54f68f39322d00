"""Every column that a method declares, by step: the same trajectory under every arm."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from empg.credit import Column
from pipelines.reporting.figures.steps import (
    none_played,
    over_steps,
    played_alike,
    plot_column,
    symbol,
    with_trajectories,
)
from pipelines.reporting.figures.study import TRAJECTORIES, Panel, panels, why_absent
from pipelines.reporting.figures.style import Figure, finished, nothing_to_draw, pyplot, title_of
from pipelines.reporting.results import RunResult

TITLE = "Columns of the methods by step"


def draw(runs: Sequence[RunResult]) -> Figure:
    """A block for each set of columns that runs declare, of the first benchmark, model and algorithm that has them, and its first
    seed: a row per column, a success of the first iteration left, a failure right."""
    shown = with_trajectories(runs)
    lacking = why_absent(runs, TRAJECTORIES)
    if not shown:
        return nothing_to_draw(TITLE, f"No run kept a trajectory. {lacking}")
    blocks: dict[tuple[Column, ...], Panel] = {}
    for panel in panels(shown):
        blocks.setdefault(_declared(series.runs[0] for series in panel.usual), panel)
    rows = [(panel, column) for columns, panel in blocks.items() for column in columns]
    figure, axes = pyplot().subplots(len(rows), 2, figsize=(9.0, 1.5 * len(rows) + 0.9), squeeze=False, sharey="row")
    for columns, panel in blocks.items():
        for j, success in enumerate((True, False)):
            played = played_alike(panel, success)
            places = [axes[rows.index((panel, column))][j] for column in columns]
            places[0].set_title(title_of(panel, "a success" if success else "a failure"))
            places[-1].set_xlabel("step")
            for ax, column in zip(places, columns, strict=True):
                ax.set_ylabel(symbol(column.name) + (f" ({column.unit})" if column.unit else ""))
                for series, steps in played.items():
                    if column.name in series.runs[0].info.column_names:
                        plot_column(ax, series, steps, column.name)
            if played:
                over_steps(places, len(next(iter(played.values()))))
            else:
                none_played(places[0])
    labels = dict.fromkeys(f"{column.name}: {column.label}" for columns in blocks for column in columns)
    text = (
        "One success and one failure of the first iteration, the same trajectory under every arm that played it, for each set of "
        f"columns that a method declares. {'; '.join(labels)}."
    )
    return finished(figure, TITLE, shown, text, f"Left out: {lacking}." if lacking else "")


def _declared(runs: Iterable[RunResult]) -> tuple[Column, ...]:
    """What any of the runs declares, each once by name."""
    return tuple({column.name: column for run in runs for column in run.info.columns}.values())
