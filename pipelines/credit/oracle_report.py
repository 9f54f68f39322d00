"""The folder of one oracle: the values of the steps, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.credit.costs import Cost
from pipelines.credit.oracle import Question
from pipelines.credit.scores import RELIABLE, continuations_needed, score
from pipelines.credit.truth import Truth
from pipelines.files import atomic_write_text, write_json, write_parquet
from pipelines.reporting.rendering import Document, Heading, Table, csv_text, markdown, show
from pipelines.run_info import RunInfo
from pipelines.schemas import ORACLE

_HEADER = (
    "iteration", "tasks", "steps", "prefixes", "mean V", "success % from there", "sd of A", "A is not 0 %", "reliability",
    f"continuations for {RELIABLE:g}",
)  # fmt: skip
_NOTES = (
    "V: what the policy gets from before the step on, Q from the step on, A = Q − V, sums of shaped rewards. sd of A: without the "
    "oracle's own error. A is not 0: its 95 % interval says so. Reliability: of the ranking of a task's steps by A, from two halves of "
    "the continuations (Spearman and Brown).",
)


_METRICS = {"mean V": "V", "sd of A": "A_sd", "reliability": "reliability"}  # that trackers show


def write(
    folder: Path, table: pa.Table, question: Question, costs: Mapping[int, Cost], info: RunInfo
) -> dict[int, dict[str, float]]:
    """Print the report, and write ``oracle.parquet``, ``oracle.md``, ``oracle.csv`` and ``oracle.json``. Returns metrics by iteration;
    one that is not defined is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [_row(i, table.filter(pc.equal(table["iteration"], i)), cost, question) for i, cost in costs.items()]
    title = (
        f"Oracle of {info.cell}, seed {info.seed}: {table.num_rows} steps, {question.continuations} continuations before and behind "
        f"each, drawn over tasks with seed {question.seed}"
    )
    shown = Table("By iteration", tuple(map(Heading, _HEADER)), tuple(map(_cells, rows)), words=1)
    document = Document(title, (shown,), _NOTES)
    atomic_write_text(folder / "oracle.md", markdown(document))
    atomic_write_text(folder / "oracle.csv", csv_text(_HEADER, rows))
    write_parquet(folder / ORACLE.file, table)
    write_json(folder / "oracle.json", {"run": info.fingerprint, **asdict(question)})
    show(document)
    found = [dict(zip(_HEADER, row, strict=True)) for row in rows]
    return {
        int(row["iteration"]): {
            f"oracle/{short}": row[name] for name, short in _METRICS.items() if not np.isnan(row[name])
        }
        for row in found
    }


def _row(iteration: int, steps: pa.Table, cost: Cost, question: Question) -> tuple[float, ...]:
    truth = Truth.of(steps)
    spread = float(np.var(truth.mean) - np.mean(truth.se**2))
    reliability = score({"": np.zeros(len(truth.mean))}, truth, names=(), resamples=1).reliability
    return (
        iteration,
        cost.tasks,
        cost.steps,
        cost.prefixes,
        float(pc.mean(steps["V"]).as_py()),
        100 * float(pc.mean(steps["success_V"]).as_py()),
        max(spread, 0.0) ** 0.5,
        100 * float(np.mean((truth.low > 0) | (truth.high < 0))),
        reliability,
        continuations_needed(reliability, question.continuations),
    )


def _cells(row: Sequence[float]) -> tuple[str, ...]:
    whole, (value, success, spread, known, reliability, needed) = row[:4], row[4:]
    few = [
        f"{value:.2f}",
        f"{success:.0f}",
        f"{spread:.2f}",
        f"{known:.0f}",
        _known(reliability, ".2f"),
        _known(needed, ".0f"),
    ]
    return (*(str(int(number)) for number in whole), *few)


def _known(value: float, form: str) -> str:
    return "–" if np.isnan(value) else format(value, form)
