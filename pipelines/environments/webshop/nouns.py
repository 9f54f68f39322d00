"""Which words of a product title are nouns: the reward compares titles by them.

The original asks spaCy's ``en_core_web_sm``. Where that model is not installed, a rule stands in, and what is scored with
it is marked: it cannot be compared with published scores.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

from pipelines.errors import ConfigError

MODEL = "en_core_web_sm"
Nouns = Callable[[str], tuple[str, ...]]  # title → its nouns in lower case, in order, repeats kept
_WORD = re.compile(r"[a-z]+(?:['’-][a-z]+)*")
_NO_NOUNS_TEXT = """
a an and are as at be by for from in into is it its no not of off on or per that the this to up w with without you
your more most new all any each every easy free good great best high low long short small medium large big extra
full half double single soft hard dry light dark fresh
"""
_NO_NOUNS = frozenset(_NO_NOUNS_TEXT.split())


def tagger(kind: Literal["auto", "spacy", "rules"]) -> tuple[str, Nouns]:
    """(its name with its version, the tagger).

    Raises:
        ConfigError: spaCy is asked for and it or its model is not installed.
    """
    return _spacy() if by_model(kind) else ("rules", noun_like_words)


def by_model(kind: Literal["auto", "spacy", "rules"]) -> bool:
    """Whether it is spaCy's, told without loading it. Raises ConfigError."""
    installed = kind != "rules" and _installed()
    if kind == "spacy" and not installed:
        raise ConfigError(
            f"benchmark.noun_tagger=spacy needs the model: `python -m spacy download {MODEL}`, or set "
            "benchmark.noun_tagger=rules, whose scores cannot be compared with published ones"
        )
    return installed


def noun_like_words(title: str) -> tuple[str, ...]:
    """Every word but those that are surely none."""
    return tuple(word for word in _WORD.findall(title.lower()) if word not in _NO_NOUNS)


def _installed() -> bool:
    from importlib.util import find_spec

    return find_spec("spacy") is not None and find_spec(MODEL) is not None


@lru_cache(maxsize=1)
def _spacy() -> tuple[str, Nouns]:
    import spacy

    pipeline = spacy.load(MODEL)

    @lru_cache(maxsize=1 << 16)
    def nouns(title: str) -> tuple[str, ...]:
        return tuple(token.text.lower() for token in pipeline(title) if token.pos_ in ("NOUN", "PROPN"))

    return f"{MODEL} {pipeline.meta['version']}, spacy {spacy.__version__}", nouns
