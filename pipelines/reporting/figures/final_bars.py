"""The final result of every cell with its interval, as the paper's Figure 4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.reporting.figures.study import Panel, Series, headline, headline_note, panels
from pipelines.reporting.figures.style import QUIET, Figure, colour_of, finished, pyplot
from pipelines.reporting.results import RunResult, starts_of
from pipelines.reporting.statistics import estimate, seed_means

TITLE = "Final results"


def draw(runs: Sequence[RunResult]) -> Figure:
    """A panel per benchmark and model, a bar per cell: mean over seeds and tasks, the seeds as points, a 95 % interval."""
    settings: dict[str, list[tuple[Panel, Series]]] = {}
    for panel in panels(runs):
        settings.setdefault(panel.setting, []).extend((panel, series) for series in panel.series)
    heights = [0.34 * len(bars) + 0.9 for bars in settings.values()]
    figure, axes = pyplot().subplots(
        len(settings), 1, figsize=(7.6, sum(heights) + 0.3), squeeze=False, height_ratios=heights, sharex=True
    )
    for bars in settings.values():
        bars.sort(key=lambda bar: bar[1].runs[0].last > 0)  # as in the paper's tables: what is not trained comes first
    highest = [_bars(ax, bars) for ax, bars in zip(axes[:, 0], settings.values(), strict=True)]
    for ax, setting in zip(axes[:, 0], settings, strict=True):
        ax.set_title(f"{setting}: {settings[setting][0][1].runs[0].info.measures['success']} (%)")
    axes[-1][0].set_xlim(0, min(100.0, max(1.0, 1.1 * max(highest))))
    text = (
        "Bar: mean over seeds and the panel's tasks after the last iteration; points: seeds; line: 95 % interval over seeds and tasks; "
        "dashed: mean before RL, of those that train."
    )
    return finished(figure, TITLE, runs, text, headline_note(runs))


def _bars(ax: Any, bars: Sequence[tuple[Panel, Series]]) -> float:
    """Draw the bars; returns the highest number in percent."""
    starts, highest = [], 0.0
    for y, (_, series) in enumerate(bars):
        (values, types), start = headline(series.runs), seed_means(*headline(series.runs, 0))
        if series.runs[0].last > 0:
            starts.append(start.mean())
        seeds, found, colour = (
            seed_means(values, types),
            estimate(values, types, starts_of(series.runs)),
            colour_of(series.arm),
        )
        ax.barh(y, 100 * found.mean, height=0.66, color=colour, alpha=0.55, linewidth=0)
        ax.plot([100 * found.low, 100 * found.high], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
        points = {"markersize": 4, "markeredgecolor": "white", "markeredgewidth": 0.6}
        ax.plot(100 * seeds, [y] * len(seeds), "o", color=colour, **points)
        beside = ax.get_yaxis_transform()
        ax.text(1.01, y, f"{100 * found.mean:.1f}", va="center", fontsize=9, color="#333333", transform=beside)
        highest = max(highest, 100 * found.high, 100 * seeds.max())
    if starts:
        ax.axvline(100 * sum(starts) / len(starts), color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
    ax.set_yticks(range(len(bars)), [_name(panel, series) for panel, series in bars])
    ax.set_ylim(len(bars) - 0.4, -0.6)
    ax.grid(axis="x")
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
    return highest


def _name(panel: Panel, series: Series) -> str:
    if series.runs[0].last == 0:
        return panel.algorithm
    return f"{panel.algorithm.upper()}, {series.label}"
