"""A table on terminals of several widths: nothing is cut, no number is broken, no line is too long."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pipelines.reporting.rendering import Document, Heading, Table, console, show, show_table

NAMES = ("Model", "EMPG", "Score", "Overall success", "95 % interval", "p (Holm)")
ROWS = (
    ("qwen2.5-1.5b", "gradient scaling", "12.5 ± 3.1", "45.8 ± 14.8", "-28.1 – +16.7", "1.000"),
    ("qwen2.5-7b", "full", "–", "42.7 ± 9.0", "-1.0 – +2.5", "0.115"),
)
TABLE = Table("Differences", tuple(map(Heading, NAMES)), ROWS, words=2)


def shown(width: int) -> list[str]:
    out = io.StringIO()
    show_table(Console(file=out, width=width), TABLE)
    return out.getvalue().splitlines()


@pytest.mark.parametrize(("width", "parts"), [(73, 1), (65, 1), (64, 2), (35, 4)])
def test_what_does_not_fit_stands_below(width: int, parts: int) -> None:
    """Words take 12 + 8 when they break, numbers 10, 11, 13 and 6, and a space is between two columns: 60 + 5 = 65. Words that
    do not break take 12 + 16: 73. The narrowest part is 12 + 8 + 13 + 2 = 35."""
    lines = shown(width)
    assert sum("Model" in line for line in lines) == parts
    assert max(map(len, lines)) <= width
    for row in ROWS:
        assert all(any(number in line for line in lines) for number in row[2:])


def test_words_break_only_where_they_must() -> None:
    assert any("gradient scaling" in line for line in shown(73))
    squeezed = [line.split() for line in shown(72)]
    assert not any("gradient scaling" in " ".join(words) for words in squeezed)
    assert ["scaling"] in squeezed


def test_a_log_has_a_width(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert console().width == 120


def test_what_a_model_is_called_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """rich would take "[bold]" for a style, and print the name without it."""
    table = Table("t", (Heading("Model"), Heading("Score")), (("m[bold]", "1.0"),), words=1)
    show(Document("[red]study", (table,), ("Remark: [blue].",)))
    said = capsys.readouterr().out
    for text in ("[red]study", "m[bold]", "[blue]"):
        assert text in said
