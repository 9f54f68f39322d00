"""Learning curves and diagnostics: the same runs give the same bytes, PNG and SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.reporting.results import RunResult, algorithms_of, by_cell, outcomes

# Okabe–Ito: told apart by colour-blind readers; off is grey, the treatment is strong.
COLOURS = {
    "off": "#767676", "full": "#D55E00", "gradient_scaling": "#0072B2", "future_bonus": "#009E73", "center_only": "#CC79A7",
}  # fmt: skip
_PANELS = (("update/kl", "KL to the reference (nats)"), ("entropy/step_mean", "step entropy (nats)"))


def learning_curves(runs: Sequence[RunResult], out: Path) -> None:
    """Success on the panel against iterations, one panel per algorithm; the band spans the seeds."""
    algorithms = algorithms_of(runs)
    plt = _pyplot()
    figure, axes = plt.subplots(1, len(algorithms), figsize=(4.6 * len(algorithms), 3.6), sharey=True, squeeze=False)
    for ax, algorithm in zip(axes[0], algorithms, strict=True):
        for members in by_cell([run for run in runs if run.algorithm == algorithm]).values():
            iterations = sorted(members[0].evaluations["iteration"].unique())
            means = np.array([outcomes(members, "success", i)[0].mean(1) for i in iterations]) * 100
            _curve(ax, np.array(iterations), means, members[0].arm)
        ax.set_title(algorithm.upper())
        ax.set_xlabel("iteration")
    axes[0][0].set_ylabel(f"{runs[0].measures['success']} on the panel (%)")
    seeds = len({run.seed for run in runs})
    _finish(figure, axes[0], f"Band: lowest to highest of {seeds} seeds" if seeds > 1 else "One seed", out, runs)


def diagnostics(runs: Sequence[RunResult], out: Path) -> None:
    """KL to the reference and mean step entropy against iterations, one row per algorithm. A seed whose update was skipped
    has no KL at that iteration: the others' is drawn."""
    algorithms = algorithms_of(runs)
    plt = _pyplot()
    figure, axes = plt.subplots(len(algorithms), 2, figsize=(9.2, 3.2 * len(algorithms)), squeeze=False)
    for row, algorithm in zip(axes, algorithms, strict=True):
        for ax, (metric, label) in zip(row, _PANELS, strict=True):
            for members in by_cell([run for run in runs if run.algorithm == algorithm]).values():
                if all(metric in run.metrics for run in members):
                    columns = [run.metrics.set_index("iteration")[metric] for run in members]
                    table = pd.concat(columns, axis=1).sort_index().dropna(how="all")
                    _curve(ax, table.index.to_numpy(), table.to_numpy(), members[0].arm)
            ax.set_title(f"{algorithm.upper()}: {label}", fontsize=10)
            ax.set_xlabel("iteration")
    _finish(figure, [ax for row in axes for ax in row], "", out, runs)


def _curve(ax: Any, x: Any, values: Any, arm: str) -> None:
    """Mean over seeds [points, seeds] and the band from lowest to highest; NaN: not measured for that seed."""
    colour = COLOURS.get(arm, "#000000")
    label = "EMPG off" if arm == "off" else f"EMPG {arm.replace('_', ' ')}"
    mean = np.nanmean(values, 1)
    ax.plot(x, mean, color=colour, linewidth=2, marker="o" if len(x) < 12 else None, markersize=4, label=label)
    if values.shape[1] > 1:
        ax.fill_between(x, np.nanmin(values, 1), np.nanmax(values, 1), color=colour, alpha=0.15, linewidth=0)


def _finish(figure: Any, axes: Sequence[Any], note: str, out: Path, runs: Sequence[RunResult]) -> None:
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="y", color="#DDDDDD", linewidth=0.8)
        ax.set_axisbelow(True)
    drawn = [ax for ax in axes if ax.get_legend_handles_labels()[0]]
    if drawn:
        drawn[0].legend(frameon=False, loc="best")
    scale = runs[0].config["scale"]
    claim = "stand-in models, not comparable with the paper" if runs[0].stand_in else runs[0].config["model"]["name"]
    # Two lines: a figure of one algorithm is narrow.
    figure.suptitle(f"{runs[0].config['benchmark']['name']}, {scale} scale\n{claim}", x=0.01, ha="left", fontsize=10)
    if note:
        figure.text(0.01, 0.01, note, fontsize=8, color="#555555")
    figure.tight_layout(rect=(0, 0.03 if note else 0, 1, 0.98))
    figure.savefig(out.with_suffix(".png"), dpi=150, metadata={"Software": None})
    figure.savefig(out.with_suffix(".svg"), metadata={"Date": None, "Creator": None})
    _pyplot().close(figure)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "empg", "font.size": 10, "axes.titlesize": 11})
    import matplotlib.pyplot as plt

    return plt
