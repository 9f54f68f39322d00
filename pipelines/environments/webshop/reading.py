"""What a page says, read from the observation alone, for the compact prompt and for the scripted player."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pipelines.protocols import Observation

_MARK = re.compile(r"^\s*\[(?:clicked )?button\] (.*) \[(?:clicked )?button_\]$")
_PRICE = re.compile(r"\$[\d.e+-]+(?: to \$[\d.e+-]+)?")  # floats, which may have exponents
_FIXED = ("back to search", "< prev", "next >", "description", "features", "reviews", "buy now", "search")


@dataclass(frozen=True, slots=True)
class Row:
    """One search result; ``number`` counts from 1 on its page."""

    number: int
    asin: str
    title: str
    price: str


@dataclass(frozen=True, slots=True)
class View:
    """A page. A page of results has ``rows``; an item has ``title``, ``price`` and ``options`` (values by name); a sub-page
    has its text in ``body``."""

    where: Literal["search", "results", "item", "sub", "done"]
    instruction: str = ""
    page: int = 0
    rows: tuple[Row, ...] = ()
    title: str = ""
    price: str = ""
    options: tuple[tuple[str, tuple[str, ...]], ...] = ()
    body: str = ""


def read(observation: Observation) -> View:
    """Read a page in either observation mode. Pieces are told apart by what the page lists as clickable, never by their
    number: a product may have no title."""
    clicks = [action.removeprefix("click[").removesuffix("]").strip() for action in observation.admissible]
    if "search" in clicks and "back to search" not in clicks:
        return View("search", _after_label(observation.text)[0])
    if "back to search" not in clicks:
        return View("done")
    parts = _after_label(observation.text)
    back = parts.index("Back to Search")
    instruction, rest = " ".join(parts[:back]), parts[back + 1 :]
    if "buy now" in clicks:
        return _item(instruction, rest[1:], [name for name in clicks if name not in _FIXED])
    if "next >" in clicks:
        return _results(instruction, rest, [name for name in clicks if name not in _FIXED])
    return View("sub", instruction, body=" ".join(rest[1:]))


def _after_label(text: str) -> list[str]:
    """The page's pieces of text, unmarked, from the instruction on."""
    parts = [part.strip() for part in text.split(" [SEP] ")]
    if "Instruction:" not in parts:  # mode text_rich
        lines = [line for line in text.split("\n") if line.strip()]
        parts = [(found[1] if (found := _MARK.match(line)) else line).strip() for line in lines]
    return parts[parts.index("Instruction:") + 1 :]


def _results(instruction: str, rest: list[str], codes: list[str]) -> View:
    """``codes`` are the products of the page in its order, in lower case. A row is a code, a title if there is one, and a
    price. A row ends at the price that the next code follows."""
    page, rows = int(rest[0].split()[1]), list[Row]()
    parts = rest[rest.index("Next >") + 1 :]
    for number, following in enumerate((*codes[1:], None) if codes else (), start=1):
        end = next(i for i in range(1, len(parts)) if _PRICE.fullmatch(parts[i]) and _is(parts, i + 1, following))
        rows.append(Row(number, parts[0], " ".join(parts[1:end]), parts[end]))
        parts = parts[end + 1 :]
    return View("results", instruction, page, tuple(rows))


def _is(parts: list[str], place: int, name: str | None) -> bool:
    """Whether the piece at a place has that name, or, for None, whether the pieces end there."""
    return place == len(parts) if name is None else place < len(parts) and parts[place].lower() == name


def _item(instruction: str, rest: list[str], values: list[str]) -> View:
    """``values`` are those of the product's options. Below the options stand its title if it has one, its price, its rating
    and four buttons."""
    above, price = rest[:-6], rest[-6].removeprefix("Price: ")
    options: list[tuple[str, list[str]]] = []
    for part in above:
        if part in values and not (options and part in options[-1][1]):
            if not options:  # the option has no name
                options.append(("", []))
            options[-1][1].append(part)
        else:
            options.append((part, []))
    titled = bool(options) and not options[-1][1]
    title = options.pop()[0] if titled else ""
    return View("item", instruction, title=title, price=price, options=tuple((n, tuple(v)) for n, v in options))
