"""The folder of one scoring: every method against the oracle, by iteration and group size, for people and for the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.config.views import AdvantageView
from pipelines.credit.report import results
from pipelines.credit.report.results import ALL, read_result
from pipelines.credit.report.tables import document_of, summary_of
from pipelines.credit.scored import Scored
from pipelines.credit.scores import SCORES
from pipelines.credit.truth import Measured
from pipelines.files import atomic_write_text, write_checksums, write_json, write_parquet
from pipelines.reporting.rendering import csv_text, markdown, show
from pipelines.run_info import RunInfo
from pipelines.schemas import CHOSEN_TRAJECTORIES

Row = tuple[object, ...]


def write(
    folder: Path,
    scored: Scored,
    methods: Mapping[str, AdvantageView],
    measured: Measured,
    oracle: Mapping[str, Any],
    trajectories: pa.Table,
    info: RunInfo,
) -> None:
    """Print the scores of all iterations, and write ``scores.md`` and what ``results.read_result`` reads. ``oracle``: what was asked of
    it; ``trajectories``: some, with what every method gives their steps."""
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write_text(folder / results.SCORES_CSV, csv_text(results.SCORE_COLUMNS, _scores(scored)))
    atomic_write_text(folder / results.DIFFERENCES_CSV, csv_text(results.DIFFERENCE_COLUMNS, _differences(scored)))
    atomic_write_text(folder / results.PROFILES_CSV, csv_text(results.PROFILE_COLUMNS, _profiles(scored)))
    atomic_write_text(folder / results.SIGNALS_CSV, csv_text(results.SIGNAL_COLUMNS, _signals(scored)))
    write_parquet(folder / CHOSEN_TRAJECTORIES.file, trajectories)
    about = {
        "run": info.values(),
        "oracle": dict(oracle),
        "steps": len(measured.places),
        "tasks": len(np.unique(measured.truth.tasks)),
        "reliability": {i: _known(of.reliability) for (i, size), of in scored.scores.items() if size == ALL},
        "state": next(iter(methods.values())).credit.model_dump(mode="json"),
        "methods": {name: _method(view, scored.milliseconds[name]) for name, view in methods.items()},
    }
    write_json(folder / results.CREDIT_JSON, about)
    write_checksums(folder)
    result = read_result(folder)
    atomic_write_text(folder / "scores.md", markdown(document_of([result])))
    write_checksums(folder)
    show(summary_of(result))


def _method(view: AdvantageView, milliseconds: float) -> dict[str, Any]:
    values = view.values()
    needs = sorted({*view.estimator.method.needs, *view.modulator.method.needs})
    return {
        "estimator": values["estimator"], "modulator": values["modulator"], "needs": needs,
        "milliseconds": float(f"{milliseconds:.2g}"),
    }  # fmt: skip


def _scores(scored: Scored) -> Iterator[Row]:
    for (i, size), found in scored.scores.items():
        for name in SCORES:
            low, high = found.interval(name)
            for method, *numbers in zip(found.methods, found.values[name], low, high, strict=True):
                yield (i, size, method, name, *map(_exact, numbers))


def _differences(scored: Scored) -> Iterator[Row]:
    for name, of in scored.differences.items():
        yield from ((name, d.method, d.other, *map(_exact, (d.mean, d.low, d.high, d.p))) for d in of)


def _profiles(scored: Scored) -> Iterator[Row]:
    for name, of in (("calibration", scored.calibration), ("positions", scored.positions)):
        for method, p in of.items():
            for bin_, (steps, *numbers) in enumerate(zip(p.steps, p.values, p.low, p.high, p.zero, strict=True)):
                yield (name, method, bin_, int(steps), *map(_exact, numbers))


def _signals(scored: Scored) -> Iterator[Row]:
    for s in scored.signals:
        yield (s.iteration, s.entropy, s.target, s.steps, *map(_exact, (s.value, s.low, s.high)))


def _exact(value: float) -> str:
    """Empty where it is not defined."""
    return "" if np.isnan(value) else repr(float(value))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
