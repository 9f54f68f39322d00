"""The tables' Markdown as HTML, cut at its headings; numbers lead to how they were made, deviations are grouped by what they are of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from pipelines.reporting.page.links import Links

_DEVIATIONS = "Deviations"


@dataclass(frozen=True)
class Section:
    title: str
    body: Markup


@dataclass(frozen=True)
class Table:
    """``main``: the first section. ``deviations``: those from the paper's settings, a section for each group of settings; ``more``: the
    other sections. ``notes``: the paragraphs that follow the last section's table."""

    name: str
    title: str
    main: Section | None
    more: tuple[Section, ...]
    deviations: tuple[Section, ...]
    notes: tuple[Markup, ...]


def read_tables(folder: Path, links_of: Callable[[str], Links | None] = lambda name: None) -> list[Table]:
    """Every ``*.md`` of the folder; the paper's tables stand first. ``links_of``: what the numbers of a table lead to."""
    files = sorted(folder.glob("*.md"), key=lambda file: (not file.stem.startswith("table"), file.stem))
    return [_read(file, links_of(file.stem)) for file in files]


def shared_notes(tables: Sequence[Table]) -> tuple[tuple[Markup, ...], list[Table]]:
    """The notes that stand below each of several tables, and the tables without them."""
    if len(tables) < 2:
        return (), list(tables)
    shared = tuple(note for note in tables[0].notes if all(note in table.notes for table in tables))
    return shared, [replace(table, notes=tuple(n for n in table.notes if n not in shared)) for table in tables]


def _read(file: Path, links: Links | None) -> Table:
    title, parts, notes = _cut(file.read_text("utf-8"))
    deviations = tuple(
        section for name, tokens in parts if name.startswith(_DEVIATIONS) for section in _by_group(tokens)
    )
    others = tuple(
        Section(name, _html(_linked(tokens, links) if links else tokens))
        for name, tokens in parts
        if not name.startswith(_DEVIATIONS)
    )
    return Table(file.stem, title, others[0] if others else None, others[1:], deviations, tuple(_paragraphs(notes)))


def cut(markdown: str) -> tuple[str, list[Section], Markup]:
    """A page's title (its heading of the first level), a section per heading of the second level, and the notes below the last
    table. HTML, links and images in the Markdown stay text."""
    title, parts, notes = _cut(markdown)
    return title, [Section(name, _html(tokens)) for name, tokens in parts], _html(notes)


def _cut(markdown: str) -> tuple[str, list[tuple[str, list[Any]]], list[Any]]:
    """The same as tokens."""
    title, parts = "", [("", list[Any]())]
    parsed = iter(_parser().parse(markdown))
    for token in parsed:
        if token.type == "heading_open" and token.tag in ("h1", "h2"):
            text = next(parsed).content
            next(parsed)  # its end
            if token.tag == "h1":
                title = text
            else:
                parts.append((text, []))
        else:
            parts[-1][1].append(token)
    last = parts[-1][1]
    end = max((i + 1 for i, token in enumerate(last) if token.type == "table_close"), default=0)
    notes = last[end:]
    del last[end:]
    return title, [(name, tokens) for name, tokens in parts if tokens], notes


def _paragraphs(tokens: Sequence[Any]) -> Iterator[Markup]:
    ends = [i + 1 for i, token in enumerate(tokens) if token.type == "paragraph_close" and token.level == 0]
    for begin, end in pairwise([0, *ends]):
        yield _html(tokens[begin:end])


def _by_group(tokens: Sequence[Any]) -> Iterator[Section]:
    """The same table for each first part of its rows' names: ``training`` of ``training.iterations``."""
    body = next(i for i, token in enumerate(tokens) if token.type == "tbody_open") + 1
    end = next(i for i, token in enumerate(tokens) if token.type == "tbody_close")
    groups: dict[str, list[list[Any]]] = {}
    for row in _rows(tokens[body:end]):
        groups.setdefault(_cells(row)[0].content.partition(".")[0], []).append(row)
    for name, rows in groups.items():
        settings = f"{len(rows)} setting{'s' if len(rows) > 1 else ''}"
        shown = [*tokens[:body], *(token for row in rows for token in row), *tokens[end:]]
        yield Section(f"{name}: {settings}", _html(shown))


def _linked(tokens: list[Any], links: Links) -> list[Any]:
    """The same tokens, in which the numbers are links now."""
    header: list[str] = []
    for row in _rows(tokens):
        cells = _cells(row)
        texts = [cell.content for cell in cells]
        header = header or texts
        for cell, key in zip(cells, links.of(header, texts), strict=True):
            if key:
                cell.children = [_raw(f'<a href="#{key}">'), *cell.children, _raw("</a>")]
    return tokens


def _rows(tokens: Sequence[Any]) -> Iterator[list[Any]]:
    row: list[Any] = []
    for token in tokens:
        if token.type == "tr_open":
            row = []
        row.append(token)
        if token.type == "tr_close":
            yield row


def _cells(row: Sequence[Any]) -> list[Any]:
    return [token for token in row if token.type == "inline"]


def _raw(html: str) -> Any:
    from markdown_it.token import Token

    return Token("html_inline", "", 0, content=html)


def _html(tokens: Sequence[Any]) -> Markup:
    html = _parser().renderer.render(tokens, _parser().options, {})
    wide = html.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    return Markup(wide)


@cache
def _parser() -> Any:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    return parser.disable(["link", "image", "autolink"])
