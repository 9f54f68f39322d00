"""Answers compared by one of two rules, as exact match and token F1.

``squad``: the rule of the official SQuAD 2.0 evaluation script, by which the paper's search tasks are scored: case, ASCII
punctuation, articles and blanks do not count. It takes the point out of a number and the sign off it. ``numeric``: the same, but
that numbers are compared as numbers: 3.14 is not 314 and -5 is not 5, while 1,000 is 1000 and 2.50 is 2.5. A mark between two
digits parts them, so that 1/2 is not 12 and 10:30 is not 1030, and the dashes of Unicode are hyphens.

Where the rule leaves nothing of a golden answer ("A", "The The", "!!!"), answers are compared with it as they are written, but
for case and blanks. The official script takes all such answers for equal.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

Rule = Literal["squad", "numeric"]
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_DASHES = str.maketrans("–—−", "---")
_MARK = f"[{re.escape(string.punctuation)}]"
# A number, or a mark. A sign counts where no word is before it ("covid-19" has none), a comma between groups of three digits.
_NUMBER_OR_MARK = re.compile(
    r"(?<![\w.])(?P<sign>(?<!\w)[-+])?(?<!\d,)(?P<digits>(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?![.,]?\d)"
    rf"|(?P<parts>(?<=\d){_MARK}(?={_MARK}*\d))|{_MARK}"
)


def normalize(answer: str, rule: Rule = "squad") -> str:
    """What of an answer the rule compares, in lower case with single blanks; "" where it leaves nothing."""
    text = answer.lower()
    squad = rule == "squad"
    plain = text.translate(_NO_PUNCTUATION) if squad else _NUMBER_OR_MARK.sub(_compared, text.translate(_DASHES))
    return _single_blanks(_ARTICLES.sub(" ", plain))


def exact_match(answer: str, golden: Iterable[str], rule: Rule = "squad") -> bool:
    """Whether the answer is one of the golden answers by the rule."""
    return any(said == wanted for said, wanted in (_pair(answer, one, rule) for one in golden))


def f1(answer: str, golden: Iterable[str], rule: Rule = "squad") -> float:
    """The best token F1, in [0, 1], over the golden answers; 0 when there are none."""
    pairs = (_pair(answer, one, rule) for one in golden)
    return max((_f1(said.split(), wanted.split()) for said, wanted in pairs), default=0.0)


def _pair(answer: str, golden: str, rule: Rule) -> tuple[str, str]:
    """Both as they are compared: normalised, or as written where nothing is left of the golden one."""
    wanted = normalize(golden, rule)
    return (normalize(answer, rule), wanted) if wanted else (_written(answer), _written(golden))


def _written(text: str) -> str:
    return _single_blanks(text.lower())


def _single_blanks(text: str) -> str:
    return " ".join(text.split())


def _compared(found: re.Match[str]) -> str:
    """A number in its shortest decimal form: "-5" of "-5.0", "1000" of "1,000"; a blank for a mark that parts two digits."""
    if found["digits"] is None:
        return " " if found["parts"] else ""
    value = Decimal(found["digits"].replace(",", ""))
    shown = f"{value:f}"
    shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
    return f"-{shown}" if found["sign"] == "-" and value else shown


def _f1(answer: list[str], golden: list[str]) -> float:
    if not answer or not golden:
        return float(answer == golden)
    shared = (Counter(answer) & Counter(golden)).total()
    return 2.0 * shared / (len(answer) + len(golden))
