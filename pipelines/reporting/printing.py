"""A table as text: Markdown, CSV, and the terminal's."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from pipelines.reporting.markup import markdown_table
from pipelines.reporting.statistics import FEW_SEEDS, RESAMPLES, Estimate
from pipelines.reporting.tables import Result, Table

_COLUMNS = 80  # of a terminal

CAUTION = (
    "“noise”: inside what seeds and tasks vary by, which does not say that there is no difference: with three seeds and 128 "
    "tasks, for example, a true one of ten points is called so in 38 to 80 % of studies. "
    f"Below {FEW_SEEDS} seeds interval and p are too narrow and small where seeds differ much, too wide and large where they "
    "hardly do: there is no verdict but noise."
)


def percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f}"


Text = tuple[list[str], list[list[str]]]  # header and rows


def overall_of(table: Table, measure: str) -> Text:
    """On the whole panel, in percent; the gain over the warm start in points."""
    header = ["algorithm", "EMPG", "seeds", "warm start", table.measures[measure], "95 % interval", "gain"]
    results = [(row, row.of[measure].all) for row in table.rows]
    return header, [[row.algorithm, row.arm, str(r.final.seeds), *_cells(r)] for row, r in results]


def averages_of(table: Table, measure: str) -> Text:
    """The means over task types, in percent; as above."""
    header = ["algorithm", "EMPG", "average", "warm start", table.measures[measure], "95 % interval", "gain"]
    results = [(row, name, r) for row in table.rows for name, r in row.of[measure].averages.items()]
    return header, [[row.algorithm, row.arm, short_name(name), *_cells(r)] for row, name, r in results]


def _cells(result: Result) -> list[str]:
    f = result.final
    mean, interval = f"{percent(f.mean)} ± {percent(f.sd)}", f"{percent(f.low)} – {percent(f.high)}"
    return [percent(result.start), mean, interval, f"{100 * (f.mean - result.start):+.1f}"]


def by_type_of(table: Table, measure: str) -> list[Text]:
    """Per task type, in whole percent: a type has few tasks. table.csv has the digits. In as many tables as it takes to
    be narrow."""

    def cell(e: Estimate) -> str:
        return f"{100 * e.mean:.0f}±{'–' if math.isnan(e.sd) else f'{100 * e.sd:.0f}'}"

    return [
        (
            ["algorithm", "EMPG", *map(short_name, types)],
            [
                [row.algorithm, row.arm, *(cell(row.of[measure].types[kind].final) for kind in types)]
                for row in table.rows
            ],
        )
        for types in _narrow(list(table.rows[0].of[measure].types))
    ]


def _narrow(types: Sequence[str]) -> list[list[str]]:
    """The types in turn, as many at a time as fit beside the longest arm's name."""
    parts: list[list[str]] = [[]]
    for kind in types:
        widths = [1 + max(len(short_name(k)), len("100±50")) for k in (*parts[-1], kind)]
        if parts[-1] and sum(widths) > _COLUMNS - len(" algorithm gradient_scaling "):
            parts.append([])
        parts[-1].append(kind)
    return parts


def comparisons_of(table: Table, measure: str) -> Text:
    """The paired differences to the algorithm's EMPG off, in points."""
    header = ["algorithm", "EMPG", "seeds", "difference", "95 % interval", "p (Holm)", "verdict"]
    lines = []
    for c in (c for c in table.comparisons if c.measure == measure):
        d = c.difference
        interval = f"{100 * d.low:+.1f} – {100 * d.high:+.1f}"
        line = [c.algorithm, c.treatment, str(d.seeds), f"{100 * d.mean:+.1f}", interval]
        lines.append([*line, f"{c.corrected:.3f}", c.verdict])
    return header, lines


def markdown(table: Table, *more: tuple[str, Text]) -> str:
    """``more``: sections that follow the table's own."""
    parts = [f"# {table.title}"]
    for title, (header, lines) in (*sections(table), *more):
        parts += [f"## {title}", markdown_table(header, lines)]
    parts.append(
        "Mean ± standard deviation over seeds; intervals by a two-level bootstrap over seeds and tasks "
        f"({RESAMPLES:,} resamples); p-values from the same bootstrap, corrected by Holm for the number of comparisons. {CAUTION}"
    )
    if any(measured.averages for measured in table.rows[0].of.values()):
        parts.append("In an average every task type weighs the same; tasks are resampled within their type.")
    parts += map(remark_of, table.remarks)
    return "\n\n".join(parts) + "\n"


def remark_of(remark: str) -> str:
    return f"Remark: {remark}."


def sections(table: Table) -> list[tuple[str, Text]]:
    """The parts of a printed table, each narrow enough for a terminal of 80 columns."""
    names = {measure: name[0].upper() + name[1:] for measure, name in table.measures.items()}
    parts = [(f"{name} (%)", overall_of(table, measure)) for measure, name in names.items()]
    for measure, name in names.items():
        if table.rows[0].of[measure].averages:
            parts.append((f"{name}, averages (%)", averages_of(table, measure)))
    parts += [
        (f"{name} by task type (%)", text) for measure, name in names.items() for text in by_type_of(table, measure)
    ]
    for measure, name in names.items():
        if any(c.measure == measure for c in table.comparisons):
            title = f"{name}, paired difference to EMPG off (points; same seeds, same tasks)"
            parts.append((title, comparisons_of(table, measure)))
    return parts


def to_csv(table: Table) -> str:
    """Full precision, one row per cell, measure and task type ("all" for the panel, or an average's name)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [
            "cell",
            "algorithm",
            "empg",
            "measure",
            "task_type",
            "mean",
            "sd",
            "low",
            "high",
            "seeds",
            "tasks",
            "warm_start",
        ]
    )
    for row in table.rows:
        for measure, m in row.of.items():
            for kind, r in {"all": m.all, **m.averages, **m.types}.items():
                e, of = r.final, [row.cell, row.algorithm, row.arm, table.measures[measure], kind]
                writer.writerow([*of, e.mean, e.sd, e.low, e.high, e.seeds, e.tasks, r.start])
    return out.getvalue()


def show(table: Table) -> None:
    """Print the table to the terminal."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console()
    console.print(table.title, "", sep="\n", highlight=False)
    for title, (header, lines) in sections(table):
        shown = RichTable(title=title, title_justify="left", box=SIMPLE, padding=0, show_edge=False)
        for name in header:
            words = name in ("algorithm", "EMPG", "average", "verdict")
            shown.add_column(name, justify="left" if words else "right", no_wrap=True)
        for line in lines:
            shown.add_row(*line)
        console.print(shown, "")
    for remark in table.remarks:
        console.print(remark_of(remark), highlight=False)


def short_name(name: str) -> str:
    """The paper's names of task types and averages; other names as they are."""
    return {
        "pick_and_place_simple": "pick", "look_at_obj_in_light": "look", "pick_clean_then_place_in_recep": "clean",
        "pick_heat_then_place_in_recep": "heat", "pick_cool_then_place_in_recep": "cool", "pick_two_obj_and_place": "pick2",
        "in_domain": "ID", "out_of_domain": "OOD", "webwalkerqa": "webwalker", "2wikimultihopqa": "2wiki",
    }.get(name, name)  # fmt: skip
