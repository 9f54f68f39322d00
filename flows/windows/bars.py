"""Bars on a terminal: what is done of each, for how long, and what is being done. The time is always to be seen."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

# Of a terminal's width, the name and the bar have at most these parts; what is being done has the rest, and is cut last.
_NAME, _BAR = 0.26, 0.2


def bars(console: Console) -> Progress:
    """Its tasks have a field ``note``: what is being done, the time left first."""
    note = TextColumn(
        "{task.fields[note]}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
    )
    return Progress(
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        BarColumn(bar_width=int(console.width * _BAR)),
        TaskProgressColumn(table_column=Column(min_width=4, no_wrap=True)),
        TimeElapsedColumn(table_column=Column(min_width=7, no_wrap=True)),
        note,
        console=console,
        expand=True,
    )


def shortened(name: str, console: Console) -> str:
    """A name of a bar: its end tells it from others."""
    room = int(console.width * _NAME)
    return name if len(name) <= room else f"…{name[1 - room :]}"
