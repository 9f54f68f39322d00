"""The folder of one replay: the advantages, how far the methods agree as table, CSV and figure, and what was replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import pyarrow as pa

from pipelines.config.views import AdvantageView
from pipelines.credit.replay import Agreement
from pipelines.credit.report.page import write_page
from pipelines.files import atomic_write_text, write_json, write_parquet
from pipelines.reporting.figures.style import Figure, pyplot
from pipelines.reporting.rendering import Document, Heading, Table, csv_text, markdown, show
from pipelines.run_info import RunInfo
from pipelines.schemas import REPLAYED

RANK = "Rank correlation of two methods' advantages within a task (Spearman), mean over the tasks in which both vary"
SIGN = "Steps % that two methods give the same sign, of those that one of the two does not give 0"


def write(
    folder: Path,
    table: pa.Table,
    trajectories: pa.Table,
    methods: Mapping[str, AdvantageView],
    info: RunInfo,
    notes: Sequence[str],
) -> None:
    """Print the agreement, and write ``credit.parquet``, ``agreement.md``, ``.csv``, ``.png`` and ``.svg``, ``replay.json``, and
    ``replay.html``, which shows the ``trajectories`` and what every method gave their steps."""
    found = Agreement.of(table)
    folder.mkdir(parents=True, exist_ok=True)
    title = f"Credit of {info.cell}, seed {info.seed}: {table.num_rows} steps, {len(methods)} methods"
    rank = [[_number(value) for value in row] for row in found.rank]
    sign = [[_percent(value) for value in row] for row in found.sign]
    tables = tuple(_square(what, found.methods, cells) for what, cells in ((RANK, rank), (SIGN, sign)))
    document = Document(title, tables, tuple(notes))
    atomic_write_text(folder / "agreement.md", markdown(document))
    atomic_write_text(folder / "agreement.csv", _csv(found))
    _figure(found, title, info).save(folder / "agreement")
    write_parquet(folder / REPLAYED.file, table)
    settings = {name: view.values() for name, view in methods.items()}
    write_json(folder / "replay.json", {"run": info.fingerprint, "methods": settings})
    played = [(info, list(methods), trajectories.to_pandas())]
    write_page(folder / "replay.html", title, _who(info), played, folder, folder)
    show(document)


def _square(title: str, names: Sequence[str], cells: Sequence[Sequence[str]]) -> Table:
    rows = tuple((name, *row) for name, row in zip(names, cells, strict=True))
    return Table(title, (Heading("method"), *map(Heading, names)), rows, words=1)


def _csv(found: Agreement) -> str:
    """A row per pair; empty where no task tells."""
    rows = [
        (found.methods[i], found.methods[j], *("" if x[i, j] != x[i, j] else repr(float(x[i, j])) for x in (found.rank, found.sign)))
        for i, j in combinations(range(len(found.methods)), 2)
    ]  # fmt: skip
    return csv_text(("method", "other", "rank_correlation", "sign_agreement"), rows)


def _figure(found: Agreement, title: str, info: RunInfo) -> Figure:
    size = 2.2 + 0.62 * len(found.methods)
    plot, ax = pyplot().subplots(figsize=(size + 1.0, size))
    image = ax.imshow(found.rank, vmin=-1, vmax=1, cmap="RdBu_r")
    ax.grid(False)
    ticks = range(len(found.methods))
    ax.set_xticks(ticks, found.methods, rotation=45, ha="right")
    ax.set_yticks(ticks, found.methods)
    for i in ticks:
        for j in ticks:
            light = abs(found.rank[i, j]) > 0.6
            ax.text(j, i, _number(found.rank[i, j]), ha="center", va="center", fontsize=8, color="w" if light else "k")
    plot.colorbar(image, ax=ax, label="rank correlation within tasks")
    return Figure(plot, "Agreement of methods of credit assignment", f"{RANK}. {title}.", _who(info))


def _who(info: RunInfo) -> str:
    return f"{info.cell}: {'a stand-in made here' if info.stand_in else info.model}."


def _number(value: float) -> str:
    return "–" if value != value else f"{value:.2f}"


def _percent(value: float) -> str:
    return "–" if value != value else f"{100 * value:.0f}"
