"""How every figure looks, and how it is written: the same runs give the same bytes, PNG, SVG and PDF."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from textwrap import fill
from typing import Any
from zlib import crc32

import numpy as np

from pipelines.reporting.figures.study import Panel, Series, panels
from pipelines.reporting.names import arm_label, papers_names
from pipelines.reporting.results import RunResult

FIRST, LAST = "#0072B2", "#D55E00"  # before and after training
GRID, QUIET = "#E2E2E2", "#666666"
_MARKERS = 25  # at most on a line: colours alone do not tell lines apart in print


@dataclass(frozen=True, eq=False)
class Figure:
    """``plot``: matplotlib's figure. ``claim``: what the numbers are of; it is drawn below the figure. ``title`` and ``caption`` are
    written into the files, where the report finds them."""

    plot: Any
    title: str
    caption: str
    claim: str

    def save(self, out: Path) -> None:
        """Write ``out`` with the endings .png, .svg and .pdf."""
        letters = int(17 * self.plot.get_figwidth())
        self.plot.supxlabel(fill(self.claim, letters), x=0.01, ha="left", fontsize=8, color=QUIET)
        about = {"Title": self.title, "Description": self.caption}
        self.plot.savefig(out.with_suffix(".png"), dpi=150, metadata={"Software": None, **about})
        self.plot.savefig(out.with_suffix(".svg"), dpi=150, metadata={"Date": None, "Creator": None, **about})
        _number_clips(out.with_suffix(".svg"))
        undated = dict.fromkeys(("CreationDate", "Creator", "Producer"))
        self.plot.savefig(out.with_suffix(".pdf"), metadata={**undated, "Title": self.title, "Subject": self.caption})
        pyplot().close(self.plot)


def _number_clips(svg: Path) -> None:
    """Matplotlib names a clip by a hash of its last bits, in which a constrained layout of many panels differs from one process to the
    next though every written digit is the same."""
    text = svg.read_text("utf-8")
    for number, name in enumerate(re.findall(r'<clipPath id="(\w+)">', text)):
        text = re.sub(rf"\b{name}\b", f"clip{number}", text)
    svg.write_text(text, "utf-8")


def pyplot() -> Any:
    import matplotlib

    matplotlib.rcdefaults()  # not the user's: the same results give the same bytes
    matplotlib.use("Agg")
    matplotlib.rcParams.update(
        {
            "svg.hashsalt": "empg", "pdf.fonttype": 42, "font.size": 10, "axes.titlesize": 10.5, "axes.titlelocation": "left",
            "axes.labelsize": 9.5, "xtick.labelsize": 9, "ytick.labelsize": 9, "legend.fontsize": 9,
            "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#8A8A8A", "axes.axisbelow": True,
            "axes.grid": True, "axes.grid.axis": "y", "grid.color": GRID, "grid.linewidth": 0.8, "legend.frameon": False,
            "xtick.color": "#444444", "ytick.color": "#444444", "figure.constrained_layout.use": True,
        }
    )  # fmt: skip
    import matplotlib.pyplot as plt

    return plt


def colour_of(arm: str) -> str:
    return _look(arm, "colour")


def marker_of(arm: str) -> str:
    return _look(arm, "marker")


def _look(arm: str, what: str) -> str:
    """The paper's look of an arm. Another arm has one of what is left by its name, so that it is the same in every figure."""
    names = papers_names()
    if arm in names["arms"]:
        return str(names["arms"][arm][what])
    left = names["others"][f"{what}s"]
    return str(left[crc32(arm.encode()) % len(left)])


def grid_of(panels: Sequence[Panel]) -> tuple[Any, list[tuple[Panel, Any]]]:
    """A figure with a row per benchmark and model, and the axes of each panel. The panels of a row have one scale."""
    rows: dict[str, list[Panel]] = {}
    for panel in panels:
        rows.setdefault(panel.setting, []).append(panel)
    columns = max(map(len, rows.values()))
    size = max(4.4 * columns, 6.0), 2.7 * len(rows) + 0.9
    figure, axes = pyplot().subplots(len(rows), columns, figsize=size, squeeze=False, sharey="row")
    placed = []
    for row, members in zip(axes, rows.values(), strict=True):
        for ax, panel in zip_longest(row, members):
            if panel is None:
                figure.delaxes(ax)
                continue
            ax.set_title(title_of(panel))
            ax.tick_params(labelleft=True)
            placed.append((panel, ax))
    return figure, placed


def title_of(panel: Panel, what: str = "") -> str:
    """``what``: which part of the panel is shown."""
    return f"{panel.benchmark} · {panel.algorithm.upper()}{f': {what}' if what else ''}\n{panel.model}"


def over_iterations(ax: Any, ylabel: str) -> None:
    ax.set(xlabel="iteration", ylabel=ylabel)
    ax.xaxis.get_major_locator().set_params(integer=True)


def curve(ax: Any, x: Any, values: Any, series: Series) -> None:
    """The mean over seeds of ``values`` [points, seeds] and a band from the lowest to the highest. NaN: not measured for that
    seed."""
    measured = ~np.isnan(values).all(1)
    if not measured.any():
        return
    x, values = np.asarray(x)[measured], values[measured]
    ax.plot(
        x, np.nanmean(values, 1), color=colour_of(series.arm), linewidth=1.8, label=series.label,
        marker=marker_of(series.arm), markersize=3.5, markevery=-(-len(x) // _MARKERS),
    )  # fmt: skip
    if values.shape[1] > 1:
        low, high = np.nanmin(values, 1), np.nanmax(values, 1)
        ax.fill_between(x, low, high, color=colour_of(series.arm), alpha=0.15, linewidth=0)


def legend_above(figure: Any, axes: Sequence[Any]) -> None:
    """Draw one legend above all panels: every label once, arms in the paper's order."""
    handles: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    known = [arm_label(arm) for arm in papers_names()["arms"]]
    labels = sorted(handles, key=lambda label: known.index(label) if label in known else len(known))
    if labels:
        widths, room = [0.085 * len(label) + 0.6 for label in labels], figure.get_figwidth()  # inches
        columns = len(labels) if sum(widths) < room else max(1, int(room / max(widths)))
        figure.legend([handles[label] for label in labels], labels, loc="outside upper left", ncols=columns)


def nothing_to_draw(title: str, why: str) -> Figure:
    """A figure that says what is missing: an empty place would leave the reader guessing."""
    figure, ax = pyplot().subplots(figsize=(6.0, 1.6))
    ax.axis("off")
    ax.text(0.0, 0.5, why, ha="left", va="center", wrap=True, color=QUIET, transform=ax.transAxes)
    return Figure(figure, title, f"Not drawn. {why}", "")


def claim(runs: Sequence[RunResult]) -> str:
    """A sentence that says at what scale the runs were made and whether stand-ins played."""
    scales = " and ".join(sorted({run.info.scale for run in runs}))
    if any(run.info.stand_in for run in runs):
        return f"{scales.capitalize()} scale: small stand-in models made here, not comparable with the paper's numbers."
    return f"{scales.capitalize()} scale."


def seeds_note(runs: Sequence[RunResult]) -> str:
    """A sentence that says how many seeds a curve and its band are of."""
    counts = sorted({len(series.runs) for panel in panels(runs) for series in panel.usual})
    if counts == [1]:
        return "One seed."
    return (
        f"Line: mean of {' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} seeds; band: lowest to highest."
    )


def caption(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def finished(plot: Any, title: str, runs: Sequence[RunResult], *sentences: str) -> Figure:
    """The figure of these runs, with its legend; ``sentences``: of its caption, where they are not empty."""
    legend_above(plot, plot.axes)
    return Figure(plot, title, caption(*sentences), claim(runs))
