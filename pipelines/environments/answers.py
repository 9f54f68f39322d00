"""What an agent's message says it wants to do, by one of two rules (``prompt.parsing``).

``strict``: the last action block behind a thought counts; an answer without both, or whose action the environment does not admit,
costs the penalty. ``reference``: as verl-agent reads it, the code base of the paper's runs (``projection.py`` of each of its
environments): in lower case, the first block counts, and an action is played whatever else is missing; the penalty is for the
format alone.
"""

from __future__ import annotations

import re

from pipelines.environments.base import Answer
from pipelines.sections import Parsing

MOST_CHARACTERS = 1000  # of an action
REMINDER = "Your last answer had not the form <think>your reasoning</think><action>your action</action>."
ENGLISH = "Your last answer held Chinese characters: write in English."
_CHINESE = re.compile("[\u4e00-\u9fff]")


def strict(action: str | None) -> Answer:
    """``action``: None where the answer is malformed."""
    return Answer(action or "", well_formed=action is not None)


def reference(answer: str, *, tail: int) -> Answer:
    """``tail``: without a block, so many of the answer's last characters are played. Well-formed is an answer with a block and a
    thought, in whatever order, and without Chinese characters."""
    lowered = answer.lower()
    start, end = lowered.find("<action>"), lowered.find("</action>")
    found = start >= 0 and end >= 0
    action = (lowered[start + len("<action>") : end] if found else lowered[-tail:]).strip()
    well_formed = _has_form(answer) and not _CHINESE.search(answer)
    return Answer(action if len(action) <= MOST_CHARACTERS else "", well_formed, forgiven=True)


def _has_form(answer: str) -> bool:
    lowered = answer.lower()
    return all(tag in lowered for tag in ("<action>", "</action>")) and "<think>" in answer and "</think>" in answer


def reminder(answer: str, parsing: Parsing) -> str:
    """What a model is told of its last answer, which was not well-formed. Only the reference's rule minds Chinese characters."""
    if parsing == "reference" and _CHINESE.search(answer):
        return ENGLISH if _has_form(answer) else f"{REMINDER} {ENGLISH}"
    return REMINDER


def last_action(answer: str) -> str | None:
    """The text in the last ``<action>`` element of an answer that also has a ``<think>`` element before it, without the
    blanks around it; None when either is missing, or when it is empty or too long. Linear in the answer's length."""
    thought = answer.find("<think>")
    if thought < 0 or (closed := answer.find("</think>", thought)) < 0:
        return None
    end = answer.rfind("</action>")
    start = answer.rfind("<action>", closed, end) if end >= 0 else -1
    if start < 0:
        return None
    action = answer[start + len("<action>") : end].strip()
    return action if action and len(action) <= MOST_CHARACTERS else None
