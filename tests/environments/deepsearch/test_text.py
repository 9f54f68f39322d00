"""SQuAD's rule and the one that compares numbers: normalisation, exact match and F1, computed by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.environments.deepsearch.text import Rule, exact_match, f1, normalize


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("The Eiffel Tower", "eiffel tower"),
        ("  a   An the  ", ""),
        ("U.S.A.", "usa"),
        ("don't-know!", "dontknow"),
        ("Theatre another", "theatre another"),
        ("the-end", "theend"),  # punctuation goes first, so this is no article
        ("A\tB\nC", "b c"),
        ("“Café”, é", "“café” é"),  # ASCII punctuation alone
        ("1,000.5", "10005"),
    ],
)
def test_normalisation(answer: str, normal: str) -> None:
    assert normalize(answer) == normal


@pytest.mark.parametrize(
    ("answer", "golden", "matches", "score"),
    [
        ("the Rimol.", ["Rimol"], True, 1.0),
        ("Rimol town", ["Rimol"], False, 2 / 3),
        ("the old town of Rimol", ["town of Rimol"], False, 6 / 7),  # 3 of 4 and 3 of 3
        ("a b b", ["b b b c"], False, 4 / 6),  # "a" is an article; 2 shared of 2 and 4
        ("x", ["y", "x z"], False, 2 / 3),  # the best of the golden answers
        ("y", ["x", "y"], True, 1.0),
        ("nothing", ["something"], False, 0.0),
        ("the", ["Rimol"], False, 0.0),
        # Nothing is left of these golden answers, so that they are compared as written.
        ("a", ["A"], True, 1.0),
        ("the", ["A"], False, 0.0),
        ("...", ["A"], False, 0.0),
        ("vitamin A", ["A"], False, 2 / 3),
        ("The  the", ["The The"], True, 1.0),
        ("The", ["The The"], False, 2 / 3),
        ("?", ["The The", "!!!"], False, 0.0),
        ("!!!", ["!!!"], True, 1.0),
        ("an", ["!!!"], False, 0.0),
        ("Beatles", ["The Beatles"], True, 1.0),
        ("Rimol", [], False, 0.0),
    ],
)
def test_exact_match_and_f1(answer: str, golden: list[str], matches: bool, score: float) -> None:
    assert exact_match(answer, golden) == matches
    assert f1(answer, golden) == pytest.approx(score)


@pytest.mark.parametrize(
    ("answer", "golden", "squad", "numeric"),
    [
        ("314", "3.14", True, False),
        ("15 million", "1.5 million", True, False),
        ("5", "-5", True, False),
        ("1000", "1,000", True, True),
        ("1,0", "10", True, False),  # no groups of three: the comma is a mark, and parts two numbers
        ("No 5", "No. 5", True, True),
        ("US", "U.S.", True, True),
        ("2.50", "2.5", False, True),
        ("0.5", ".5", False, True),
        ("-0", "0", True, True),
        ("+5", "5", True, True),
        ("−5", "-5.0", False, True),  # a minus sign
        ("covid 19", "covid-19", False, False),
        ("covid19", "covid-19", True, True),  # a hyphen within a word is no sign
        ("1939-45", "1939 45", False, True),  # a mark between two digits parts them
        ("1990–91", "1990-91", False, True),  # one dash
        ("Alpha—Beta", "alpha-beta", False, True),
        ("–5", "-5", False, True),
        ("1/2", "12", True, False),
        ("10:30", "1030", True, False),
        ("2-1", "21", True, False),
        ("2−1", "21", False, False),
        ("1990-91", "199091", True, False),
        ("v1.2.3", "v123", True, False),
        ("1,5", "15", True, False),
        ("1,05", "1,5", False, False),
        ("(1)(2)", "12", True, False),
        ("1--2", "12", True, False),
        ("1 - -2", "1--2", False, True),
        ("1,000-2,000", "1000 2000", False, True),
        ("3,-5", "3, -5", False, True),
        ("3,-5", "3, 5", False, False),
        ("$1,250.00", "1250", False, True),
        ("3.5km", "35km", True, False),
        ("version 1.2.3", "version 123", True, False),  # no number: the points are marks
        ("about 1.", "about 1", True, True),
        ("the 4.0", "4", False, True),
        ("(-3)", "-3", True, True),
        ("1" * 40, "1" * 39 + "2", False, False),
    ],
)
def test_numbers(answer: str, golden: str, squad: bool, numeric: bool) -> None:
    assert exact_match(answer, [golden], "squad") == squad
    assert exact_match(answer, [golden], "numeric") == numeric
    assert f1(answer, [golden], "numeric") < 1.0 or numeric


RULES = st.sampled_from(["squad", "numeric"])


@given(st.text(alphabet="ab the-.,'é"))
def test_without_digits_the_rules_are_one(answer: str) -> None:
    assert normalize(answer, "squad") == normalize(answer, "numeric")


@given(
    st.decimals(min_value=-(10**9), max_value=10**9, places=3),
    st.decimals(min_value=-(10**9), max_value=10**9, places=3),
)
def test_numbers_match_when_they_are_equal(one: Decimal, other: Decimal) -> None:
    assert exact_match(f"{one:,}", [f"{other}"], "numeric") == (one == other)
    assert exact_match(f"{one:,}", [f"{one}"], "numeric")


@given(st.integers(0, 999), st.integers(0, 999), st.sampled_from("/:-–—−;()+_*"))
def test_a_mark_between_two_numbers_keeps_them_two(one: int, other: int, mark: str) -> None:
    assert exact_match(f"{one}{mark}{other}", [f"{one} {other}"], "numeric")
    assert not exact_match(f"{one}{mark}{other}", [f"{one}{other}"], "numeric")


@given(st.text(), st.lists(st.text(), max_size=4), RULES)
def test_a_match_has_f1_one_and_f1_is_a_fraction(answer: str, golden: list[str], rule: Rule) -> None:
    assert 0.0 <= f1(answer, golden, rule) <= 1.0
    if exact_match(answer, golden, rule):
        assert f1(answer, golden, rule) == 1.0
    assert exact_match(answer, [*golden, answer], rule)


@given(st.text(), RULES)
def test_normalising_has_no_case_and_no_outer_blanks(answer: str, rule: Rule) -> None:
    assert normalize(f"  The {answer} ", rule) == normalize(answer, rule)
    assert normalize(answer, rule) == normalize(answer, rule).strip()
