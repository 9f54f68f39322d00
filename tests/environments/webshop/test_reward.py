"""Every branch of the reward, computed by hand. The tagger is a list of nouns: what counts is the arithmetic."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.environments.webshop.normalize import COLORS, color_in
from pipelines.environments.webshop.nouns import noun_like_words
from pipelines.environments.webshop.reward import alike, matched_attributes, matched_options, reward, type_factor
from tests.environments.webshop.catalogues import goal, product

CHOSEN = ("red", "small")


def words(title: str) -> tuple[str, ...]:
    """Every word is a noun, but adjectives."""
    return tuple(word for word in title.lower().split() if word not in ("soft", "nice"))


def total(
    bought: dict[str, Any] | None = None, wanted: dict[str, Any] | None = None, chosen: tuple[str, ...] = CHOSEN
) -> float:
    one = product(**(bought or {}))
    return reward(one, one.price, chosen, goal(**(wanted or {})), words).total


def test_the_right_product_with_its_options_is_one() -> None:
    assert total() == 1.0  # (2 attributes + 2 options + 1 price) / 5 · 1


@pytest.mark.parametrize(
    ("bought", "wanted", "chosen", "by_hand"),
    [
        # one option of two: (2 + 1 + 1) / 5
        ({}, {}, ("red",), 4 / 5),
        ({}, {}, ("red", "large"), 4 / 5),
        # no option: (2 + 0 + 1) / 5
        ({}, {}, (), 3 / 5),
        # dearer than the cap: (2 + 2 + 0) / 5; exactly at the cap counts as below
        ({"price": 30.01}, {}, CHOSEN, 4 / 5),
        ({"price": 30.0}, {}, CHOSEN, 1.0),
        # one attribute of two: (1 + 2 + 1) / 5
        ({"attributes": ("easy clean",)}, {}, CHOSEN, 4 / 5),
        # a goal without options: (2 + 0 + 1) / 3; options that were not asked for cost nothing
        ({}, {"options": ()}, CHOSEN, 1.0),
        # no cap: the goal's is 1000000
        ({"price": 5000.0}, {"price_cap": 1_000_000.0}, CHOSEN, 1.0),
        # nothing but the price of the right kind of thing: (0 + 0 + 1) / 5
        ({"attributes": ()}, {}, (), 1 / 5),
        # the factor multiplies: (2 + 1 + 1) / 5 · 0.5, as 1 of 5 wanted nouns is 0.2, not above it, and nothing else fits
        (
            {"query": "lamp", "product_category": "Home › Light", "title": "Chair Lamp"},
            {"name": "Zorba Oak Red Big Chair"}, ("red",), 4 / 5 * 0.5,
        ),
    ],
)  # fmt: skip
def test_parts(bought: dict[str, Any], wanted: dict[str, Any], chosen: tuple[str, ...], by_hand: float) -> None:
    assert total(bought, wanted, chosen) == by_hand


OTHER = {"query": "lamp", "product_category": "Light › Lamps"}


@pytest.mark.parametrize(
    ("bought", "name", "factor"),
    [
        # the same query is enough, if the titles share at least a tenth of the wanted nouns: 1 of 10 = 0.1
        ({"product_category": "Light", "title": "Chair"}, "chair b c d e f g h i j", 1.0),
        # two shared categories are enough, in any order; one shared twice is one
        ({"query": "lamp", "product_category": "Chairs › X › Home", "title": "Chair"}, "chair b c d e f", 1.0),
        ({"query": "lamp", "product_category": "Home › Home › X", "title": "Chair"}, "chair b c d e f", 0.5),
        # neither, but more than 0.2 of the nouns: 1 of 4; exactly 0.2 (1 of 5) is too little
        (OTHER | {"title": "Chair"}, "chair b c d", 1.0),
        (OTHER | {"title": "Chair"}, "chair b c d e", 0.5),
        # below 0.1 (1 of 11) it is a tenth, whatever else matches
        ({"title": "Chair"}, "chair b c d e f g h i j k", 0.1),
        # no shared noun: nothing, whatever else matches
        ({"title": "Table"}, "chair", 0.0),
        # a wanted title without nouns scores 0.2: a match by query or category decides
        ({"title": "Table"}, "soft nice", 1.0),
        (OTHER | {"title": "Table"}, "soft nice", 0.5),
        # repeats count below, not above the line: {chair} of (chair, chair, b, c, d, e, f, g, h, i, j) = 1 of 11
        ({"title": "Chair"}, "chair chair b c d e f g h i j", 0.1),
    ],
)
def test_type_factor(bought: dict[str, Any], name: str, factor: float) -> None:
    assert type_factor(product(**bought), goal(name=name), words) == factor


@pytest.mark.parametrize(
    ("bought", "wanted", "matches"),
    [
        # by likeness: a set of words contained in the other is 100, above 85; singular and plural: 96
        ({"attributes": ("essential oil",)}, ("essential oils",), 1),
        ({"attributes": ("easy to clean oak",)}, ("easy clean",), 1),
        ({"attributes": ("hand wash",)}, ("machine wash",), 0),
        # else word for word, lower case, in the title, in all bullets, in the description
        ({"attributes": (), "title": "An EASY CLEAN chair"}, ("easy clean",), 1),
        ({"attributes": (), "bullets": ("x", "so Easy Clean!")}, ("easy clean",), 1),
        ({"attributes": (), "bullets": ("easy", "clean")}, ("easy clean",), 1),  # joined by a blank, as the original does
        ({"attributes": (), "description": "easy clean"}, ("easy clean",), 1),
        ({"attributes": (), "description": "easily cleaned"}, ("easy clean",), 0),
        # each wanted attribute counts once
        ({"attributes": ("easy clean", "easy clean")}, ("easy clean",), 1),
    ],
)  # fmt: skip
def test_attributes(bought: dict[str, Any], wanted: tuple[str, ...], matches: int) -> None:
    assert matched_attributes(product(**bought), wanted) == matches


@pytest.mark.parametrize(
    ("chosen", "wanted", "matches"),
    [
        (("xl", "red"), ("red", "xl"), 2),
        (("powder snow",), ("cool powder snow",), 1),  # its words are contained in the wanted ones
        (("navy",), ("navy blue",), 0),  # the wanted one is "blue" (first in the list), the chosen "navy"
        (("sky blue",), ("navy blue",), 1),  # both are "blue"
        (("dark green",), ("dark red",), 1),  # both are "dark"
        # pairs of name and value: printed "('size', 'small')", of which "small" is a part
        (("small",), (("size", "small"),), 1),
        (("small",), (("size", "x-small"),), 1),  # the original's looseness: "small" is a part of "x-small"
        (("large",), (("size", "small"),), 0),
        (("size",), (("size", "small"),), 1),  # and so is its name
        (("red",), (("color", "red"),), 1),
        (("wine red",), (("color", "red"),), 1),  # chosen: "red" comes before "wine"
        (("rose",), (("color", "red"),), 0),
        (("navy blue",), (("color", "navy blue"),), 1),  # "blue" is a part of the printed pair
        (("standard",), (("size", "standard"),), 0),  # "tan" is found in the chosen value, and in no printed pair's words
        ((), (("size", "small"),), 0),
        (("small",), (), 0),
    ],
)  # fmt: skip
def test_options(chosen: tuple[str, ...], wanted: tuple[Any, ...], matches: int) -> None:
    assert matched_options(chosen, wanted) == matches


@pytest.mark.parametrize(
    ("text", "color"),
    [("black forest", "black"), ("violet lavender", "lavender"), ("steelivy fuchsia", "fuchsia"), ("123alabaster", "alabaster"),
     ("webshop", None), ("", None)],
)  # fmt: skip
def test_colors(text: str, color: str | None) -> None:
    """The original's own test cases."""
    assert color_in(text) == color


def test_likeness_is_rounded_as_thefuzz_does() -> None:
    # "abcdef" and "abcdefgh": 2 · 6 / 14 = 85.7, rounded 86; "abcdefg" and "abcdefgxyz": 2 · 7 / 17 = 82.4
    assert alike("abcdef", "abcdefgh")
    assert not alike("abcdefg", "abcdefgxyz")
    # exactly 85 is not above it: 2 · 17 / 40
    assert not alike("abcdefghijklmnopqrst", "abcdefghijklmnopqxyz")
    assert alike("café au lait", "caf au lait")  # what lies between 128 and 255 is dropped
    assert not alike("", "")


def test_the_rule_takes_words_but_function_words() -> None:
    assert noun_like_words("The Soft Chair, for men's 2 rooms") == ("chair", "men's", "rooms")


VALUE = st.sampled_from(["red", "navy blue", "small", "large", "10 inch", "vanilla", "queen", "dark oak", "ünï"])
OPTION_LISTS = st.lists(
    st.tuples(st.sampled_from(["color", "size", "style"]), VALUE), max_size=3, unique_by=lambda o: o[0]
)


@settings(max_examples=80, deadline=None)
@given(OPTION_LISTS, st.lists(VALUE, max_size=3), st.floats(1, 2000), st.floats(1, 2000), st.text(max_size=20))
def test_the_reward_is_between_zero_and_one(
    wanted: list[tuple[str, str]], chosen: list[str], price: float, cap: float, title: str
) -> None:
    got = reward(product(title=title), price, chosen, goal(options=tuple(wanted), price_cap=cap), noun_like_words)
    assert 0 <= got.total <= 1
    assert got.options <= len(wanted)


@settings(max_examples=80, deadline=None)
@given(OPTION_LISTS, st.text(min_size=1, max_size=30), st.floats(1, 900))
def test_the_goal_item_with_its_options_is_exactly_one(
    options: list[tuple[str, str]], title: str, price: float
) -> None:
    wanted = goal(options=tuple(options), name=title, price_cap=price)
    got = reward(product(title=title), price, [value for _, value in options], wanted, noun_like_words)
    assert got.total == 1.0


def test_no_option_of_the_generated_catalogue_is_taken_for_another() -> None:
    from pipelines.environments.webshop.words import OPTIONS

    for name, values in OPTIONS.items():
        for value in values:
            assert [v for v in values if matched_options([v], [(name, value)])] == [value]
            assert [v for v in values if matched_options([v], [value])] == [value]


def test_the_order_of_colors_is_the_originals() -> None:
    """The hash is that of upstream's ``COLOR_SET``, joined by blanks."""
    assert len(COLORS) == 102
    assert hashlib.sha256(" ".join(COLORS).encode()).hexdigest().startswith("87767f22f7435a0a")
