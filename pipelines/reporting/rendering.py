"""Tables of text as Markdown, LaTeX, CSV and on a terminal: the same cells in all of them."""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "±": r"$\pm$", "–": "--", "—": "---", "−": "$-$", "×": r"$\times$", "ζ": r"$\zeta$", "′": "$'$", "→": r"$\to$",
}  # fmt: skip
_LONG = 15  # em: the width of a LaTeX column whose cells are broken into lines
_LOG_COLUMNS = 120  # the width of a file or a pipe, which have none of their own

_Column = tuple[str, ...]  # its name, then its cells


@dataclass(frozen=True)
class Heading:
    """The heading of a column. ``group``: what stands above several columns; ``alone``: the column's name where there is no
    line for groups."""

    name: str
    group: str = ""
    alone: str = ""


@dataclass(frozen=True)
class Table:
    """The first ``words`` columns hold words, the others numbers."""

    title: str
    header: tuple[Heading, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int

    @property
    def names(self) -> list[str]:
        """The columns' names where there is no line for groups."""
        return [heading.alone or heading.name for heading in self.header]


@dataclass(frozen=True)
class Document:
    """Tables below one title, and what a reader must know of them. ``short_title``: what LaTeX repeats in each caption."""

    title: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()
    short_title: str = ""


def interval_text(low: float, high: float, sign: str = "") -> str:
    """An interval of shares in points; "–" where it is not known (NaN). ``sign``: "+" shows that of positive numbers too."""
    return "–" if math.isnan(low) else f"{100 * low:{sign}.1f} – {100 * high:{sign}.1f}"


def markdown(document: Document) -> str:
    parts = [f"# {document.title}"]
    for table in document.tables:
        parts += [f"## {table.title}", markdown_table(table.names, table.rows)]
    return "\n\n".join([*parts, *document.notes]) + "\n"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def csv_text(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


# ---------------------------------------------------------------------------------------------------------------- LaTeX


def latex(document: Document, label: str) -> str:
    """To be read by ``\\input``; it needs booktabs. ``label``: of the first table; the others' are numbered."""
    parts = [r"% Needs \usepackage{booktabs}."]
    for number, table in enumerate(document.tables):
        title = document.short_title if number else document.title
        parts.append(latex_table(table, f"{title}. {table.title}", f"{label}-{number}" if number else label))
    items = (rf"\item {latex_text(note)}" for note in document.notes)
    return "\n\n".join([*parts, "\n".join([r"\begin{itemize}", *items, r"\end{itemize}"])]) + "\n"


def latex_table(table: Table, caption: str, label: str) -> str:
    """A ``table*`` in booktabs' style; groups span their columns."""
    lines = [
        r"\begin{table*}", r"\centering\footnotesize", rf"\caption{{{latex_text(caption)}}}", rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{_alignment(table)}}}", r"\toprule", *_spans(table),
        _latex_row([heading.name for heading in table.header]), r"\midrule",
        *map(_latex_row, table.rows), r"\bottomrule", r"\end{tabular}", r"\end{table*}",
    ]  # fmt: skip
    return "\n".join(lines)


def latex_text(text: str) -> str:
    """The text as LaTeX reads it; the sign of a number becomes a minus, not a hyphen."""
    return re.sub(r"(?<![\w-])-(?=\d)", "$-$", "".join(_LATEX.get(letter, letter) for letter in text))


def _alignment(table: Table) -> str:
    """Words stand left, and in a column that breaks lines where they are long; numbers stand right."""
    longest = [max(map(len, column)) for column in zip(*table.rows, strict=True)]
    words = (rf"p{{{_LONG}em}}" if length > 2 * _LONG else "l" for length in longest[: table.words])
    return "".join(words) + "r" * (len(table.header) - table.words)


def _spans(table: Table) -> list[str]:
    if not any(heading.group for heading in table.header):
        return []
    cells, rules, at = [], [], 1
    for group, members in groupby(heading.group for heading in table.header):
        width = len(list(members))
        cells.append(rf"\multicolumn{{{width}}}{{c}}{{{latex_text(group)}}}")
        rules += [rf"\cmidrule(lr){{{at}-{at + width - 1}}}"] if group else []
        at += width
    return [" & ".join(cells) + r" \\", " ".join(rules)]


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(latex_text, cells)) + r" \\"


# ------------------------------------------------------------------------------------------------------------- terminal


def show(document: Document) -> None:
    """Print the document to the terminal."""
    here = console()
    unbroken = not here.is_terminal  # there, lines break between words
    here.print(document.title, "", sep="\n", soft_wrap=unbroken)
    show_tables(document)
    for note in document.notes:
        here.print(note, soft_wrap=unbroken)


def show_tables(document: Document) -> None:
    """Print its tables alone."""
    here = console()
    for table in document.tables:
        show_table(here, table)


def console() -> Console:
    from rich.console import Console

    here = Console(highlight=False, markup=False)
    return here if here.is_terminal else Console(width=_columns(), highlight=False, markup=False)


def _columns() -> int:
    """Of what is read through a pipe (``| tee log``), those of the terminal that it ends on."""
    for stream in (2, 0):
        with suppress(OSError):
            return os.get_terminal_size(stream).columns
    return _LOG_COLUMNS


def show_table(console: Console, table: Table) -> None:
    """Beside the words stand as many columns of numbers as fit, the others in parts below. No cell is cut."""
    from rich.box import SIMPLE
    from rich.table import Table as RichTable

    columns = list(zip(table.names, *table.rows, strict=True))
    words, numbers = columns[: table.words], columns[table.words :]
    room = console.width + 1  # the last column is followed by no space
    for place, part in enumerate(_parts(words, numbers, room)):
        title = "" if place else table.title
        shown = RichTable(title=title, title_justify="left", box=SIMPLE, padding=0, show_edge=False)
        fits = _taken(map(_longest, words)) + _taken(map(_width, part)) <= room
        for column in words:
            shown.add_column(column[0], width=_longest(column) if fits else _squeezed(column))
        for column in part:
            shown.add_column(column[0], justify="right", width=_width(column))
        for row in zip(*(column[1:] for column in (*words, *part)), strict=True):
            shown.add_row(*row)
        console.print(shown, "")


def _parts(words: Sequence[_Column], numbers: Sequence[_Column], room: int) -> Iterator[list[_Column]]:
    """The columns of numbers in turn, as many at a time as fit; one at least."""
    left = room - _taken(map(_squeezed, words))
    part: list[_Column] = []
    for column in numbers:
        if part and _taken(map(_width, (*part, column))) > left:
            yield part
            part = []
        part.append(column)
    yield part


def _taken(widths: Iterable[int]) -> int:
    return sum(width + 1 for width in widths)


def _longest(column: _Column) -> int:
    return max(map(len, column))


def _squeezed(column: _Column) -> int:
    """The width of a column of words, which break at spaces."""
    return max(len(word) for cell in column for word in cell.split())


def _width(column: _Column) -> int:
    """The width of a column of numbers, which do not break; the words above them do."""
    return max(_squeezed(column), *map(len, column[1:]))
