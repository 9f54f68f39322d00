"""The report of a study of credit, put together; each part has a module of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipelines.credit.report.cards import cards
from pipelines.credit.report.figures import learning as learning_figure
from pipelines.credit.report.figures import write_figures
from pipelines.credit.report.figures.panels import claim_of
from pipelines.credit.report.learning import cells_of, correlations
from pipelines.credit.report.learning_tables import learning_csv, learning_document
from pipelines.credit.report.page import write_page
from pipelines.credit.report.results import CreditResult, read_study
from pipelines.credit.report.tables import document_of, scores_csv
from pipelines.files import atomic_write_text
from pipelines.reporting.rendering import latex, markdown
from pipelines.reporting.results import read_study as read_runs


def write_report(scores: Path, out: Path, tournament: Path | None = None) -> int:
    """From every scoring below ``scores``: ``tables/credit.md``, ``.tex``, ``.csv`` and ``methods.md``, ``figures/*.png`` and ``.svg``,
    and ``report.html``; with the results of a ``tournament`` also ``learning.*``. The same inputs give the same bytes. Returns the
    number of runs. Raises DataError naming a bad folder."""
    study = read_study(scores)
    document, tables, figures = document_of(study), out / "tables", out / "figures"
    tables.mkdir(parents=True, exist_ok=True)
    atomic_write_text(tables / "credit.md", markdown(document))
    atomic_write_text(tables / "credit.tex", latex(document, "credit"))
    atomic_write_text(tables / "credit.csv", scores_csv(study))
    atomic_write_text(tables / "methods.md", markdown(cards(study)))
    write_figures(study, figures)
    if tournament is not None:
        _write_learning(study, tournament, tables, figures)
    played = [(result.about.run, result.methods, result.trajectories) for result in study]
    write_page(out / "report.html", out.resolve().name, claim_of(study), played, tables, figures)
    return len(study)


def _write_learning(study: Sequence[CreditResult], tournament: Path, tables: Path, figures: Path) -> None:
    cells = cells_of(study, read_runs(tournament))
    document = learning_document(cells, correlations(cells))
    atomic_write_text(tables / "learning.md", markdown(document))
    atomic_write_text(tables / "learning.tex", latex(document, "learning"))
    atomic_write_text(tables / "learning.csv", learning_csv(cells))
    learning_figure.draw(study, cells).save(figures / "learning")
