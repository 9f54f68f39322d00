"""The scores as tables of text, and as one CSV of a whole study."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from pipelines.credit.report.results import ALL, SCORE_COLUMNS, CreditResult
from pipelines.reporting.rendering import Document, Heading, Table, csv_text

BASELINE = "grpo-off"  # one advantage a trajectory: what finer credit is held against
HEADINGS = {
    "rank": "rank correlation", "rank_corrected": "corrected", "sign": "right sign %", "unexplained": "unexplained %",
    "gradient": "gradient cosine", "length_bias": "length bias",
}  # fmt: skip
_COMPARED = ("rank", "unexplained", "gradient")
_SIGNALS = {"own": "low entropy of the step (as g)", "next": "low entropy of the next step (as f)"}
_TARGETS = {"A": "worth, A", "|A|": "size of the worth, |A|"}
_PERCENT = ("sign", "unexplained")
NOTES = (
    "Rank correlation with A within a task, mean over tasks; corrected: without the attenuation by the oracle's own error.",
    "Right sign: of the steps whose A differs from 0 beyond its error.",
    "Unexplained: mean squared error after the best scale, as a share of A's mean square, without the oracle's own error. Length bias: "
    "correlation of that error with the length of the episode.",
    "Gradient cosine: of the policy gradients that the method's and the oracle's advantages give on the measured steps, in all weights "
    "of the policy that played, without the oracle's own error; “–” where the gradients were not measured (flows.credit gradients).",
    "Confidence: the step's entropy, turned round, ranked within a task. EMPG's g falls with the step's own entropy and multiplies the "
    "advantage, its f with the next step's and is added; the last step of an episode has no next one.",
    "Intervals: 95 %, bootstrap over tasks. p: by Holm over all pairs of methods in one score.",
)


def document_of(study: Sequence[CreditResult]) -> Document:
    """Of every run the scores of all iterations, then each iteration's, by group size, and differences to ``BASELINE``."""
    tables = [table for result in study for table in _tables(result)]
    title = "Credit against the oracle"
    return Document(title, tuple(tables), NOTES, title)


def summary_of(result: CreditResult) -> Document:
    """For a terminal."""
    return Document(f"Credit against the oracle: {result.title}", (_scores(result, ALL),), NOTES)


def scores_csv(study: Sequence[CreditResult]) -> str:
    """A row per run, iteration, group size, method and score; all digits."""
    rows = (
        (run.benchmark, run.model, run.cell, run.seed, *_written(row))
        for result in study
        for run in (result.about.run,)
        for row in result.scores.itertuples(index=False)
    )
    return csv_text(("benchmark", "model", "cell", "seed", *SCORE_COLUMNS), rows)


def cell(name: str, value: float, low: float, high: float) -> str:
    """A score with its interval."""
    if math.isnan(value):
        return "–"
    factor, form = (100, ".0f") if name in _PERCENT else (1, ".2f")
    return f"{factor * value:{form}} ({factor * low:{form}} to {factor * high:{form}})"


def _tables(result: CreditResult) -> list[Table]:
    iterations = [i for i in dict.fromkeys(result.scores["iteration"]) if i != ALL]
    single = [_scores(result, i) for i in iterations] if len(iterations) > 1 else []
    sizes = [_by_size(result)] if len(result.group_sizes()) > 1 else []
    compared = _differences(result)
    entropies = _signals(result)
    return [
        _scores(result, ALL), *([entropies] if entropies.rows else []), *single, *sizes, *([compared] if compared.rows else []),
    ]  # fmt: skip


def _scores(result: CreditResult, iteration: str) -> Table:
    table, reliability = _wide(result.of(iteration, ALL)), result.about.reliability[iteration]
    names = [name for name in HEADINGS if name in table]
    order = sorted(table["rank"], key=lambda method: -_sortable(table["rank"][method]))
    rows = tuple((method, *(cell(name, *table[name][method]) for name in names)) for method in order)
    when = "all iterations" if iteration == ALL else f"iteration {iteration}"
    known = "–" if reliability is None else f"{reliability:.2f}"
    title = f"{result.title}: {when}, reliability of the oracle {known}"
    return Table(title, (Heading("method"), *(Heading(HEADINGS[name]) for name in names)), rows, words=1)


def _by_size(result: CreditResult) -> Table:
    sizes = result.group_sizes()
    tables = [_wide(result.of(ALL, size)) for size in sizes]
    rows = tuple(
        (method, *(cell("rank_corrected", *table["rank_corrected"][method]) for table in tables))
        for method in result.methods
    )
    title = f"{result.title}: corrected rank correlation by episodes of a group"
    return Table(title, (Heading("method"), *(Heading(str(result.members(size))) for size in sizes)), rows, words=1)


def _signals(result: CreditResult) -> Table:
    """What EMPG takes for granted: whether sure steps are the better ones, or those that matter more."""
    signals = result.signals
    iterations = list(dict.fromkeys(signals["iteration"]))
    rows = [
        (_SIGNALS[entropy], _TARGETS[target], *(_signal(of, iteration) for iteration in iterations))
        for (entropy, target), of in signals.groupby(["entropy", "target"], sort=False)
    ]
    header = ("signal", "against", *("all iterations" if i == ALL else f"iteration {i}" for i in iterations))
    title = f"{result.title}: rank correlation of the policy's confidence with the oracle"
    return Table(title, tuple(map(Heading, header)), tuple(rows), words=2)


def _signal(of: pd.DataFrame, iteration: str) -> str:
    there = of[of["iteration"] == iteration]
    return cell("rank", *there[["value", "low", "high"]].iloc[0]) if len(there) else "–"


def _differences(result: CreditResult) -> Table:
    rows = []
    for name in _COMPARED:
        for d in result.differences[result.differences["score"] == name].itertuples(index=False):
            if BASELINE in (d.method, d.other) and not math.isnan(d.difference):
                turned = d.method == BASELINE  # the file has every pair once
                numbers = (-d.difference, -d.high, -d.low) if turned else (d.difference, d.low, d.high)
                method = d.other if turned else d.method
                rows.append(
                    (
                        method,
                        HEADINGS[name].removesuffix(" %"),
                        *(f"{x + 0.0:+.3f}" for x in numbers),
                        f"{d.p_holm:.3f}",
                    )
                )
    header = ("method", "score", "difference", "low", "high", "p (Holm)")
    return Table(f"{result.title}: paired differences to {BASELINE}", tuple(map(Heading, header)), tuple(rows), words=2)


def _wide(scores: pd.DataFrame) -> dict[str, dict[str, tuple[float, float, float]]]:
    """(value, low, high) by score and method."""
    found: dict[str, dict[str, tuple[float, float, float]]] = {}
    for row in scores.itertuples(index=False):
        found.setdefault(row.score, {})[row.method] = (row.value, row.low, row.high)
    return found


def _sortable(numbers: tuple[float, float, float]) -> float:
    return -2.0 if math.isnan(numbers[0]) else numbers[0]


def _written(row: Sequence[object]) -> list[object]:
    return ["" if isinstance(x, float) and math.isnan(x) else x for x in row]
