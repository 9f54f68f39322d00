"""A grid on the terminal: beside its words as many columns of numbers as fit, the others in parts below. No cell is cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from pipelines.reporting.markup import Grid

_LOG_COLUMNS = 120  # of a file or a pipe, which have no width

Column = tuple[str, ...]  # its name, then its cells


def console() -> Console:
    here = Console()
    return here if here.is_terminal else Console(width=_LOG_COLUMNS)


def show_grid(console: Console, grid: Grid) -> None:
    columns = list(zip(grid.names, *grid.rows, strict=True))
    words, numbers = columns[: grid.words], columns[grid.words :]
    room = console.width + 1  # the last column is followed by no space
    for place, part in enumerate(_parts(words, numbers, room)):
        table = Table(title="" if place else grid.title, title_justify="left", box=SIMPLE, padding=0, show_edge=False)
        fits = _taken(map(_longest, words)) + _taken(map(_width, part)) <= room
        for column in words:
            table.add_column(column[0], width=_longest(column) if fits else _squeezed(column))
        for column in part:
            table.add_column(column[0], justify="right", width=_width(column))
        for row in zip(*(column[1:] for column in (*words, *part)), strict=True):
            table.add_row(*row)
        console.print(table, "")


def _parts(words: Sequence[Column], numbers: Sequence[Column], room: int) -> Iterator[list[Column]]:
    """The columns of numbers in turn, as many at a time as fit; one at least."""
    left = room - _taken(map(_squeezed, words))
    part: list[Column] = []
    for column in numbers:
        if part and _taken(map(_width, (*part, column))) > left:
            yield part
            part = []
        part.append(column)
    yield part


def _taken(widths: Iterable[int]) -> int:
    return sum(width + 1 for width in widths)


def _longest(column: Column) -> int:
    return max(map(len, column))


def _squeezed(column: Column) -> int:
    """Words break at spaces."""
    return max(len(word) for cell in column for word in cell.split())


def _width(column: Column) -> int:
    """Numbers do not break; the words above them do."""
    return max(_squeezed(column), *map(len, column[1:]))
