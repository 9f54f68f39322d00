"""The tournament beside the scores, as tables of text and as a CSV."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product

from pipelines.credit.report.learning import OUTCOMES, PREDICTORS, Cell, Correlation, without_one
from pipelines.credit.report.results import ALL
from pipelines.credit.report.tables import HEADINGS, cell
from pipelines.reporting.names import benchmark_title
from pipelines.reporting.rendering import Document, Heading, Table, csv_text

TITLE = "Does credit predict learning?"
OUTCOME_TITLES = {"gain": "gain of held-out success", "rollouts": "success of the last half of the rollouts"}
NOTES = (
    "Spearman's correlation over methods: of a score of a method's credit, on one reference run, with what training by that method "
    "brought. Every score is turned so that more is better. Mean: of the benchmarks.",
    "Intervals: 95 %, bootstrap over methods. A method's own gain is as uncertain as its number of seeds makes it.",
)


def learning_document(cells: Sequence[Cell], found: Sequence[Correlation]) -> Document:
    """Correlations, then the cells behind them."""
    return Document(TITLE, (_correlations(found), _without_one(cells), *_cells(cells)), NOTES, TITLE)


def learning_csv(cells: Sequence[Cell]) -> str:
    """A row per cell; all digits."""
    header = ("benchmark", "method", "seeds", *OUTCOMES, *PREDICTORS)
    return csv_text(header, ((c.benchmark, c.method, c.seeds, *map(_exact, _numbers(c))) for c in cells))


def _correlations(found: Sequence[Correlation]) -> Table:
    benchmarks = list(dict.fromkeys(each.benchmark for each in found))
    rows = tuple(
        (
            heading(score),
            OUTCOME_TITLES[outcome],
            *(
                cell("rank", each.value, each.low, each.high)
                for each in found
                if (each.score, each.outcome) == (score, outcome)
            ),
        )
        for score in PREDICTORS
        for outcome in OUTCOMES
    )
    names = (f"{'mean' if name == ALL else benchmark_title(name)} ({_count(found, name)})" for name in benchmarks)
    return Table(
        "Correlation of credit with learning (methods)",
        tuple(map(Heading, ("credit", "learning", *names))),
        rows,
        words=2,
    )


def _without_one(cells: Sequence[Cell]) -> Table:
    rows = []
    for score, outcome in product(PREDICTORS, OUTCOMES):
        found = [(value, name) for name, value in without_one(cells, score, outcome).items() if not math.isnan(value)]
        ends = [f"{value:.2f}, without {name}" for value, name in (min(found), max(found))] if found else ["–", "–"]
        rows.append((heading(score), OUTCOME_TITLES[outcome], *ends))
    header = map(Heading, ("credit", "learning", "lowest", "highest"))
    return Table("The mean correlation without one estimator's methods", tuple(header), tuple(rows), words=2)


def _cells(cells: Sequence[Cell]) -> Iterator[Table]:
    header = ("method", "seeds", "gain, points", "last rollouts, %", *map(heading, PREDICTORS))
    for benchmark in dict.fromkeys(each.benchmark for each in cells):
        own = sorted((each for each in cells if each.benchmark == benchmark), key=lambda each: -each.gain)
        rows = tuple(
            (
                each.method,
                str(each.seeds),
                f"{100 * each.gain:+.1f}",
                f"{100 * each.rollouts:.1f}",
                *(_short(each.scores[name]) for name in PREDICTORS),
            )
            for each in own
        )
        yield Table(f"{benchmark_title(benchmark)}: the tournament's cells", tuple(map(Heading, header)), rows, words=1)


def heading(score: str) -> str:
    """Of a score that was turned so that more is better."""
    name = HEADINGS[score].removesuffix(" %")
    return {"corrected": "rank correlation, corrected", "unexplained": "explained (−unexplained)"}.get(name, name)


def _count(found: Sequence[Correlation], benchmark: str) -> int:
    return max(each.methods for each in found if each.benchmark == benchmark)


def _numbers(c: Cell) -> tuple[float, ...]:
    return (c.gain, c.rollouts, *(c.scores[name] for name in PREDICTORS))


def _short(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _exact(value: float) -> str:
    return "" if math.isnan(value) else repr(value)
