"""How answers are read: verl-agent's rule against a plain reading of it, and what each benchmark makes of an answer."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.environments.alfworld import prompts as alfworld
from pipelines.environments.answers import ENGLISH, REMINDER, reference, reminder
from pipelines.environments.base import Answer, Turn
from pipelines.environments.cooking import prompts as cooking
from pipelines.environments.deepsearch import prompts as deepsearch
from pipelines.environments.webshop import prompts as webshop
from pipelines.environments.webshop.config import WebshopPrompt
from pipelines.protocols import Observation
from pipelines.sections import Parsing, PromptSettings

PIECES = ["<think>", "</think>", "<action>", "</action>", "<ACTION>", "</Action>", "Go to", " desk 1", "\n", "去"]


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_the_references_rule_differs(text: str) -> None:
    """By partition instead of by places, which is the same where the opening tag comes first."""
    before, opening, behind = text.lower().partition("<action>")
    inside, closing, _ = behind.partition("</action>")
    answer = reference(text, tail=30)
    if not (opening and "</action>" in text.lower()):
        assert answer.action == text.lower()[-30:].strip()
        assert not answer.well_formed
    elif closing and "</action>" not in before:
        assert answer.action == inside.strip()
    else:
        assert answer.action == ""  # it is closed before it is opened
    if "<think>" not in text or "</think>" not in text or "去" in text:
        assert not answer.well_formed


@pytest.mark.parametrize(
    ("answer", "action", "well_formed"),
    [
        ("<think>a</think><action>Go to Cabinet 1</action>", "go to cabinet 1", True),
        ("<action>Go to cabinet 1</action>", "go to cabinet 1", False),  # no thought: played, and penalised
        ("<THINK>a</THINK><ACTION>look</ACTION>", "look", False),  # the thought's tags are told by their case
        ("<think>a</think><action>look</action><action>inventory</action>", "look", True),  # the first counts
        ("<action>look</action><think>a</think>", "look", True),  # the thought may come behind
        ("I look around.\nGo to cabinet 1", "i look around.\ngo to cabinet 1"[-30:], False),
        ("go to cabinet 1", "go to cabinet 1", False),
        ("<think>桌</think><action>look</action>", "look", False),
        ("", "", False),
    ],
)
def test_the_reference_in_alfworld(answer: str, action: str, well_formed: bool) -> None:
    assert alfworld.read_answer(answer, "reference") == Answer(action, well_formed, forgiven=True)


def test_the_reference_in_the_shop_and_in_the_kitchen() -> None:
    said = "<think>a</think><action>{}</action>"
    assert webshop.read_answer(said.format("Click[ Buy Now ]"), "reference").action == "click[buy now]"
    assert (
        webshop.read_answer("I will buy it: click[Buy Now]", "reference").action == "y it: click[buy now]"
    )  # 20 characters
    assert cooking.read_answer(said.format("Cook pork with bbq"), "reference").action == "cook pork with BBQ"


@pytest.mark.parametrize(
    ("answer", "action", "well_formed"),
    [
        ("<think>a</think><search> a  b </search>", "<search> a b</search>", True),
        ("<Search>a</SEARCH>", "<search> a</search>", True),  # tags in any case, no thought asked for
        ("<answer>x</answer><search>a</search>", "<search> a</search>", False),  # searches come first, and two cost
        ("<search>a</search><search>b</search>", "<search> a</search>", False),
        ("<open>Page</open> and <answer>x</answer>", "<open> Page</open>", False),
        ("<search>a</search> so <answer>x</answer>", "<search> a</search>", False),
        ("<search>a <answer>x</answer>", "<answer> x</answer>", False),
        ("<answer>x</answer>", "<answer> x</answer>", True),
        ("<search>a", "", False),
        ("nothing", "", False),
    ],
)
def test_the_reference_in_deep_search(answer: str, action: str, well_formed: bool) -> None:
    assert deepsearch.read_answer(answer, "reference") == Answer(action, well_formed, forgiven=True)


@given(st.lists(st.sampled_from(["<search>", "</search>", "<Answer>", "</answer>", "<open>", "</OPEN>", "a", " "])))
def test_of_searches_and_answers_the_reference_takes_the_first_block(pieces: list[str]) -> None:
    """By regular expressions, as verl-agent has them for its two kinds (texts without the page viewer's)."""
    text = "".join(piece for piece in pieces if "open" not in piece.lower())
    cut = next((text[: text.find(tag) + len(tag)] for tag in ("</search>", "</answer>") if tag in text), text)
    blocks = [(kind, re.search(f"<{kind}>(.*?)</{kind}>", cut, re.IGNORECASE)) for kind in ("search", "answer")]
    found = next(((kind, " ".join(block[1].split())) for kind, block in blocks if block), ("", ""))
    read = deepsearch.read_answer(text, "reference")
    holds_markup = re.search("<", found[1]) is not None
    assert read.action == (f"<{found[0]}> {found[1]}</{found[0]}>" if found[1] and not holds_markup else "")
    assert read.well_formed == (any(b for _, b in blocks) and len(re.findall("<(?:search|answer)>", text, re.I)) == 1)


@pytest.mark.parametrize(
    ("answer", "parsing", "told"),
    [
        ("<action>look</action>", "reference", REMINDER),
        ("<think>桌</think><action>look</action>", "reference", ENGLISH),
        ("<think>桌</think>", "reference", f"{REMINDER} {ENGLISH}"),
        ("<think>桌</think>", "strict", REMINDER),  # which minds no characters
    ],
)
def test_a_model_is_told_what_its_answer_lacked(answer: str, parsing: Parsing, told: str) -> None:
    assert reminder(answer, parsing) == told
    page = Observation("You are in a room.", ("look",))
    settings = PromptSettings(history="full", instructions=True, parsing=parsing)
    assert alfworld.prompt([Turn(page, answer)], page, settings).text.endswith(f"\n\n{told}")


@pytest.mark.parametrize("prompts", [alfworld, cooking, webshop], ids=lambda module: module.__name__.split(".")[-2])
def test_a_transcript_reminds_of_the_format_where_it_was_missing(prompts: Any) -> None:
    """With instructions alone: a stand-in never reads it."""
    page = Observation("WebShop [SEP] Instruction: [SEP] a mug [SEP] Search", ("search[<your query>]",))
    settings = WebshopPrompt(history="full")
    good, bad = (Turn(page, answer) for answer in ("<think>a</think><action>look</action>", "look"))
    shown = [prompts.prompt([turn], page, settings).text for turn in (good, bad)]
    assert shown[1] == f"{shown[0]}\n\n{REMINDER}"
    silent = settings.model_copy(update={"instructions": False})
    assert REMINDER not in prompts.prompt([bad], page, silent).text
    assert REMINDER not in prompts.prompt([bad], page, settings.model_copy(update={"history": 2})).text
