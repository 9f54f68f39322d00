"""The report of one evaluation: each task type, the benchmark's averages, and the whole panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.files import atomic_write_text, write_json, write_parquet
from pipelines.reporting.rendering import Document, Heading, Table, csv_text, markdown, show
from pipelines.run_info import RunInfo


@dataclass(frozen=True)
class Row:
    """``means``: by the benchmark's measures. ``interval``: 95 % of the success, None for an average of types."""

    of: str
    tasks: int
    means: dict[str, float]
    interval: tuple[float, float] | None
    steps: float
    invalid_actions: float
    cut: float


def rows_of(table: pa.Table, measures: Mapping[str, str], averages: Mapping[str, Sequence[str]]) -> list[Row]:
    """A row per task type by name, one per average whose types were all played (each type weighing the same), and "all"."""
    played: list[dict[str, Any]] = table.to_pylist()
    types = sorted({row["task_type"] for row in played})
    rows = [_row(kind, [r for r in played if r["task_type"] == kind], measures) for kind in types]
    by_type = dict(zip(types, rows, strict=True))
    averaged = [
        _average(name, [by_type[kind] for kind in members])
        for name, members in averages.items()
        if all(kind in by_type for kind in members)
    ]
    return [*rows, *averaged, _row("all", played, measures)]


def _row(of: str, played: Sequence[Mapping[str, Any]], measures: Mapping[str, str]) -> Row:
    steps = sum(row["steps"] for row in played)
    return Row(
        of=of,
        tasks=len(played),
        means={measure: _mean([float(row[measure]) for row in played]) for measure in measures},
        interval=wilson(sum(row["success"] for row in played), len(played)),
        steps=steps / len(played),
        invalid_actions=sum(row["invalid_actions"] for row in played) / max(steps, 1),
        cut=_mean([row["stop_reason"] in ("context_full", "environment_error") for row in played]),
    )


def _average(name: str, rows: Sequence[Row]) -> Row:
    return Row(
        of=name,
        tasks=sum(row.tasks for row in rows),
        means={measure: _mean([row.means[measure] for row in rows]) for measure in rows[0].means},
        interval=None,
        steps=_mean([row.steps for row in rows]),
        invalid_actions=_mean([row.invalid_actions for row in rows]),
        cut=_mean([row.cut for row in rows]),
    )


def wilson(successes: int, tasks: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927): sound for few tasks, and at 0 and 1."""
    from scipy.stats import binomtest

    interval = binomtest(successes, tasks).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def report(folder: Path, table: pa.Table, info: RunInfo) -> None:
    """Print the report and write it: ``report.md``, ``report.csv`` (not rounded), ``evaluations.parquet`` (a row per task) and
    ``evaluation.json`` (what was evaluated, how, on which panel)."""
    rows = rows_of(table, info.measures, info.averages)
    folder.mkdir(parents=True, exist_ok=True)
    document = _document(rows, info)
    atomic_write_text(folder / "report.md", markdown(document))
    atomic_write_text(folder / "report.csv", _csv(rows))
    write_parquet(folder / "evaluations.parquet", table)
    write_json(folder / "evaluation.json", info.values())
    show(document)


def _document(rows: Sequence[Row], info: RunInfo) -> Document:
    config = info.config
    benchmark, evaluation = config["benchmark"], config["evaluation"]
    title = (
        f"{info.model} on {info.benchmark}, {benchmark['evaluation_split']}: {info.panel_size} tasks, panel "
        f"{info.panel_sha256[:12]}"
    )
    how = (
        f"temperature {evaluation['temperature']:g}, seed {info.seed}, policy {config['policy']['name']}, prompt: "
        f"{', '.join(f'{key} {str(value).lower()}' for key, value in benchmark['prompt'].items())}"
    )
    names = [f"{name} %" for name in info.measures.values()]
    headings = ["task type", "tasks", names[0], "95 % interval", *names[1:], "steps", "invalid actions %", "cut off %"]
    table = Table("By task type", tuple(map(Heading, headings)), tuple(map(_cells, rows)), words=1)
    return Document(title, (table,), (how, *info.remarks))


def _cells(row: Row) -> tuple[str, ...]:
    means = [f"{100 * mean:.1f}" for mean in row.means.values()]
    interval = f"{100 * row.interval[0]:.1f} – {100 * row.interval[1]:.1f}" if row.interval else "–"
    rest = [f"{row.steps:.1f}", f"{100 * row.invalid_actions:.1f}", f"{100 * row.cut:.1f}"]
    return (row.of, str(row.tasks), means[0], interval, *means[1:], *rest)


def _csv(rows: Sequence[Row]) -> str:
    header = ["task_type", "tasks", *rows[0].means, "low", "high", "steps", "invalid_actions", "cut_off"]
    return csv_text(
        header,
        (
            [
                row.of,
                row.tasks,
                *row.means.values(),
                *(row.interval or ("", "")),
                row.steps,
                row.invalid_actions,
                row.cut,
            ]
            for row in rows
        ),
    )


def _mean(values: Sequence[float]) -> float:
    return float(sum(values) / len(values))
