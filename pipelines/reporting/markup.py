"""A table of text as Markdown and LaTeX: the same cells in both."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "±": r"$\pm$", "–": "--", "—": "---", "−": "$-$", "×": r"$\times$", "ζ": r"$\zeta$", "′": "$'$", "→": r"$\to$",
}  # fmt: skip
_LONG = 15  # em, of a cell that is broken into lines


@dataclass(frozen=True)
class Heading:
    """Of a column. ``group``: what stands above several; ``alone``: its name where there is no line for groups."""

    name: str
    group: str = ""
    alone: str = ""


@dataclass(frozen=True)
class Grid:
    """The first ``words`` columns hold words, the others numbers."""

    title: str
    header: tuple[Heading, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int

    @property
    def names(self) -> list[str]:
        return [heading.alone or heading.name for heading in self.header]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def latex_table(grid: Grid, caption: str, label: str) -> str:
    """A ``table*`` in booktabs' style; groups span their columns."""
    lines = [
        r"\begin{table*}", r"\centering\footnotesize", rf"\caption{{{latex_text(caption)}}}", rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{_alignment(grid)}}}", r"\toprule", *_spans(grid), _row(_short(grid)), r"\midrule",
        *map(_row, grid.rows), r"\bottomrule", r"\end{tabular}", r"\end{table*}",
    ]  # fmt: skip
    return "\n".join(lines)


def latex_list(items: Sequence[str]) -> str:
    return "\n".join([r"\begin{itemize}", *(rf"\item {latex_text(item)}" for item in items), r"\end{itemize}"])


def latex_text(text: str) -> str:
    """As it stands in a document; a number's sign is a sign, not a hyphen."""
    return re.sub(r"(?<![\w-])-(?=\d)", "$-$", "".join(_LATEX.get(letter, letter) for letter in text))


def _alignment(grid: Grid) -> str:
    """Words to the left, in lines of their own where they are long; numbers to the right."""
    longest = [max(map(len, column)) for column in zip(*grid.rows, strict=True)]
    words = (rf"p{{{_LONG}em}}" if length > 2 * _LONG else "l" for length in longest[: grid.words])
    return "".join(words) + "r" * (len(grid.header) - grid.words)


def _spans(grid: Grid) -> list[str]:
    if not any(heading.group for heading in grid.header):
        return []
    cells, rules, at = [], [], 1
    for group, members in groupby(heading.group for heading in grid.header):
        width = len(list(members))
        cells.append(rf"\multicolumn{{{width}}}{{c}}{{{latex_text(group)}}}")
        rules += [rf"\cmidrule(lr){{{at}-{at + width - 1}}}"] if group else []
        at += width
    return [" & ".join(cells) + r" \\", " ".join(rules)]


def _short(grid: Grid) -> list[str]:
    return [heading.name for heading in grid.header]


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(latex_text, cells)) + r" \\"
