"""The shop's pages and how clicks lead from one to the next, word for word as the original's text environment.

Source: princeton-nlp/WebShop, ``web_agent_site/templates`` and ``envs/web_agent_text_env.py``. A page is the list of its
visible texts; HTML never comes into it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from pipelines.environments.base import state_digest
from pipelines.environments.webshop.catalogue import Catalogue, Product

SHOWN, PER_PAGE = 50, 10  # search results in all, and of one page
BUY, BACK, NEXT, PREVIOUS = "Buy Now", "Back to Search", "Next >", "< Prev"
SUB_PAGES = ("Description", "Features", "Reviews")
SEARCH_ACTION = "search[<your query>]"  # how a page with a search bar is listed
_ACTION = re.compile(r"(.+)\[(.+)\]")
_LONGEST = 1000  # characters of an action that is not listed; the original has no such bound


class Kind(Enum):
    """What a piece of text is on the page."""

    TEXT = "text"
    BUTTON = "button"
    LINK = "link"
    CLICKED_LINK = "clicked link"
    OPTION = "option"
    CLICKED_OPTION = "clicked option"


@dataclass(frozen=True, slots=True)
class Page:
    """``pieces``: what is shown, in the page's order. ``clickables``: names that can be clicked, in lower case, each once.
    ``search_bar``: whether the page has one."""

    pieces: tuple[tuple[Kind, str], ...]
    clickables: tuple[str, ...]
    search_bar: bool = False

    def text(self) -> str:
        """The page in observation mode ``text``."""
        return " [SEP] ".join(text.strip() for _, text in self.pieces)

    def text_rich(self) -> str:
        """The page in observation mode ``text_rich``, which marks buttons and says which of them were clicked."""
        shown = ""
        for kind, text in self.pieces:
            match kind:
                case Kind.TEXT:
                    shown += f"{text}\n"
                case Kind.BUTTON:
                    shown += f"[button] {text} [button_]\n"
                case Kind.LINK:
                    shown += f"\n[button] {text} [button_]\n"
                case Kind.CLICKED_LINK:
                    shown += f"\n[clicked button] {text} [clicked button_]\n"
                case Kind.OPTION:
                    shown += f"  [button] {text} [button_]\n"
                case Kind.CLICKED_OPTION:
                    shown = f"You have clicked {text}.\n{shown}  [clicked button] {text} [clicked button_]\n"
        return shown

    def admissible(self) -> tuple[str, ...]:
        """The actions that the page lists, in its order."""
        clicks = tuple(f"click[{name}]" for name in self.clickables if name)
        return (SEARCH_ACTION, *clicks) if self.search_bar else clicks


@dataclass(slots=True)
class Visit:
    """Where the agent is. ``where`` is the kind of page, ``options`` holds the chosen values by name, and ``visited`` the
    codes of the products that were opened since the last search page."""

    where: Literal["search", "results", "item", "sub", "done"] = "search"
    keywords: tuple[str, ...] = ()
    page: int = 1
    item: int = -1
    sub: str = ""
    options: dict[str, str] = field(default_factory=dict)
    visited: set[str] = field(default_factory=set)


class Site:
    """One visitor's way through the shop.

    ``search`` gives the product numbers that a query finds, best first; ``judge`` the reward in [0, 1] of a bought product
    with its chosen options. ``page`` is what is shown now, and ``reward`` is None until something was bought.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        search: Callable[[str], Sequence[int]],
        judge: Callable[[Product, dict[str, str]], float],
        instruction: str,
    ) -> None:
        self._catalogue, self._search, self._judge, self._instruction = catalogue, search, judge, instruction
        self._visit = Visit()
        self.reward: float | None = None
        self.page = self._render()

    def state_key(self, *, marks_visited: bool) -> str:
        """Digest of what determines this page and all that can follow. ``marks_visited``: whether the agent sees which
        results it has opened before, so that they are part of the state."""
        visit = self._visit
        if visit.where == "done":
            return state_digest("done", visit.item, sorted(visit.options.items()))
        return state_digest(
            visit.where,
            " ".join(visit.keywords),
            visit.page,
            visit.item,
            visit.sub if visit.where == "sub" else "",
            sorted(visit.options.items()),
            sorted(visit.visited) if marks_visited else [],
        )

    def act(self, action: str) -> bool:
        """Search, which the original allows on any page, or click what the page lists. Its search button needs a query and
        cannot be clicked. Returns False when the action was something else; then nothing has changed."""
        name, argument = self._understood(action)
        if name == "search" and self._visit.where != "done":
            self._visit.keywords, self._visit.page = tuple(argument.split(" ")), 1
            self._results()
        elif name == "click":
            self._click(argument)
        else:
            return False
        self.page = self._render()
        return True

    def _understood(self, action: str) -> tuple[str, str]:
        """("search", query), ("click", a listed name) or two empty texts.

        The original reads an action by one pattern alone, to which a listed name with an opening bracket or a line break is
        invalid. Here every listed name is valid as it is listed; blanks at its ends may be left out.
        """
        if clicked := self._listed(action):
            return "click", clicked
        found = _ACTION.match(action) if len(action) <= _LONGEST else None
        name, argument = (found[1], found[2].lower()) if found else ("", "")
        if name == "search" or (name == "click" and self._clickable(argument)):
            return name, argument
        return "", ""

    def _listed(self, action: str) -> str | None:
        if not (action.startswith("click[") and action.endswith("]")):
            return None
        said = action[len("click[") : -1].lower()
        names = (said, *self.page.clickables)
        return next((name for name in names if said in (name, name.strip()) and self._clickable(name)), None)

    def _clickable(self, name: str) -> bool:
        return name in self.page.clickables and not (name == "search" and self.page.search_bar)

    def _results(self) -> None:
        visit = self._visit
        visit.where, visit.item, visit.options = "results", -1, {}

    def _click(self, name: str) -> None:
        """The original decides in this order what a name means. Fixed names come first, so that an option called
        "description" opens the description."""
        visit = self._visit
        if name == BUY.lower():
            visit.where = "done"
            self.reward = self._judge(self._catalogue[visit.item], visit.options)
        elif name == BACK.lower():
            self._visit = Visit()
        elif name == NEXT.lower() and visit.where == "results":
            visit.page += 1
            self._results()
        elif name == PREVIOUS.lower() and visit.where == "results":
            visit.page -= 1
            self._results()
        elif name == PREVIOUS.lower() and visit.where == "item":
            self._results()
        elif name == PREVIOUS.lower():
            visit.where = "item"
        elif name in _SUB_PAGES:
            visit.where, visit.sub = "sub", _SUB_PAGES[name]
        elif visit.where == "results":
            visit.where, visit.item = "item", self._on_page()[name]
            visit.visited.add(name.upper())
        elif visit.where == "item":
            visit.options[_owner(self._catalogue[visit.item], name)] = name

    def _on_page(self) -> dict[str, int]:
        """The product numbers of the page of results by their codes in lower case."""
        visit = self._visit
        found = self._search(" ".join(visit.keywords))[:SHOWN]
        shown = found[max(visit.page - 1, 0) * PER_PAGE : visit.page * PER_PAGE]
        return {self._catalogue[number].asin.lower(): number for number in shown}

    # ----------------------------------------------------------------------------------------------------- the pages

    def _render(self) -> Page:
        match self._visit.where:
            case "search":
                pieces = [(Kind.TEXT, "WebShop"), *self._asked("Instruction: "), (Kind.BUTTON, "Search")]
                return Page(tuple(pieces), ("search",), search_bar=True)
            case "results":
                return _page(self._results_page())
            case "item":
                return _page(self._item_page(self._catalogue[self._visit.item]))
            case "sub":
                return _page(self._sub_page(self._catalogue[self._visit.item]))
            case "done":
                return _page(self._last_page(self._catalogue[self._visit.item]))

    def _asked(self, label: str = "Instruction:") -> Iterator[tuple[Kind, str]]:
        yield Kind.TEXT, label
        yield from _pieces([(Kind.TEXT, self._instruction)])

    def _results_page(self) -> Iterator[tuple[Kind, str]]:
        visit = self._visit
        total = len(self._search(" ".join(visit.keywords))[:SHOWN])
        yield from self._asked()
        yield Kind.BUTTON, BACK
        yield Kind.TEXT, f"Page {visit.page} (Total results: {total})"
        if visit.page > 1:
            yield Kind.BUTTON, PREVIOUS
        yield Kind.BUTTON, NEXT
        for number in self._on_page().values():
            product = self._catalogue[number]
            yield Kind.CLICKED_LINK if product.asin in visit.visited else Kind.LINK, product.asin
            yield Kind.TEXT, product.title
            yield Kind.TEXT, product.price_tag

    def _item_page(self, product: Product) -> Iterator[tuple[Kind, str]]:
        visit = self._visit
        # The original marks an option as clicked when it stands in the page's address between double quotes.
        address = f"{product.asin}/{'+'.join(visit.keywords)}/{visit.page}/{json.dumps(visit.options)}"
        yield from self._asked()
        yield Kind.BUTTON, BACK
        yield Kind.BUTTON, PREVIOUS
        for name, values in product.options:
            yield Kind.TEXT, name
            for value in values:
                yield Kind.CLICKED_OPTION if f'"{value}"' in address else Kind.OPTION, value
        yield Kind.TEXT, product.title
        yield Kind.TEXT, f"Price: {product.price_tag}"
        yield Kind.TEXT, "Rating: N.A."
        for name in SUB_PAGES:
            yield Kind.BUTTON, name
        yield Kind.BUTTON, BUY

    def _sub_page(self, product: Product) -> Iterator[tuple[Kind, str]]:
        yield from self._asked()
        yield Kind.BUTTON, BACK
        yield Kind.BUTTON, PREVIOUS
        match self._visit.sub:
            case "Description":
                yield Kind.TEXT, product.description
            case "Features":
                for bullet in product.bullets:
                    yield Kind.TEXT, f" {bullet}"

    def _last_page(self, product: Product) -> Iterator[tuple[Kind, str]]:
        """The original's last page says neither what the goal was nor what of it was met."""
        options = json.dumps(self._visit.options, sort_keys=True)
        for mark in "<>&'":
            options = options.replace(mark, f"\\u{ord(mark):04x}")
        for text in _THANKS:
            yield Kind.TEXT, text.format(asin=product.asin, options=options, reward=self.reward)


_SUB_PAGES = {name.lower(): name for name in SUB_PAGES}


def _owner(product: Product, value: str) -> str:
    """The option that a value belongs to. Where several options have it, it is the last one's."""
    return next(name for name, values in reversed(product.options) if value in values)


def _page(pieces: Iterable[tuple[Kind, str]]) -> Page:
    shown = _pieces(pieces)
    named = {text.lower(): None for kind, text in shown if kind is Kind.BUTTON}
    named |= {text.lower(): None for kind, text in shown if kind in (Kind.LINK, Kind.CLICKED_LINK)}
    named |= {text: None for kind, text in shown if kind in (Kind.OPTION, Kind.CLICKED_OPTION)}
    return Page(shown, tuple(named))


def _pieces(pieces: Iterable[tuple[Kind, str]]) -> tuple[tuple[Kind, str], ...]:
    """What the original's HTML parser leaves of the texts. An empty text, and one of blanks with a line break, is left out;
    other blanks become one."""
    shown = ((kind, text if text.strip(_BLANKS) else " " * (text != "" and "\n" not in text)) for kind, text in pieces)
    return tuple((kind, text) for kind, text in shown if text)


_BLANKS = " \n\t\f\r"
_THANKS = (
    "Thank you for shopping with us!", "Your code: ", "None", " (Paste it in your MTurk interface.)", "Purchased", "asin",
    "{asin}", "options", "{options}", "attrs", "None", "category", "None", "query", "None", "product category", "None",
    "Target", "asin", "options", "attrs", "price upper", "instuction text", "category", "product category", "query",
    "Goal ", "None", "Reward", "Your score (min 0.0, max 1.0)", "{reward}", "Reward Details ", "None",
)  # fmt: skip
