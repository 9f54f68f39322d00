"""The tables' Markdown as HTML, cut at its headings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

_DEVIATIONS = "Deviations"


@dataclass(frozen=True)
class Section:
    title: str
    body: Markup


@dataclass(frozen=True)
class Table:
    """``main``: the first section. ``deviations``: the sections of deviations from the paper's settings; ``more``: the other
    sections. ``notes``: what follows the last section's table."""

    name: str
    title: str
    main: Section | None
    more: tuple[Section, ...]
    deviations: tuple[Section, ...]
    notes: Markup


def read_tables(folder: Path) -> list[Table]:
    """Every ``*.md`` of the folder; the paper's tables stand first."""
    files = sorted(folder.glob("*.md"), key=lambda file: (not file.stem.startswith("table"), file.stem))
    return [_read(file) for file in files]


def _read(file: Path) -> Table:
    title, sections, notes = cut(file.read_text("utf-8"))
    deviations = tuple(section for section in sections if section.title.startswith(_DEVIATIONS))
    others = tuple(section for section in sections if section not in deviations)
    return Table(file.stem, title, others[0] if others else None, others[1:], deviations, notes)


def cut(markdown: str) -> tuple[str, list[Section], Markup]:
    """A page's title (its heading of the first level), a section per heading of the second level, and the notes below the last
    table. HTML, links and images in the Markdown stay text."""
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
    notes = _html(last[end:])
    del last[end:]
    return title, [Section(name, _html(tokens)) for name, tokens in parts if tokens], notes


def _html(tokens: list[Any]) -> Markup:
    html = _parser().renderer.render(tokens, _parser().options, {})
    wide = html.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    return Markup(wide)


@cache
def _parser() -> Any:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    return parser.disable(["link", "image", "autolink"])
