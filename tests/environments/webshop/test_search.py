"""BM25 against plain loops; words and stems against known ones."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from pipelines.environments.webshop.search import build_index, rounded_length, terms

WORDS = ["soft", "chair", "oak", "tea", "green", "lamp", "blue", "red", "large", "desk", "the", "running"]


def plain(texts: list[str], names: list[str], query: str, most: int) -> list[int]:
    """The textbook: every document, every query term, 64-bit sums."""
    documents = [terms(text) for text in texts]
    mean = sum(map(len, documents)) / len(documents)
    scores = []
    for document in documents:
        score = 0.0
        for term in terms(query):
            holders = sum(term in other for other in documents)
            count = document.count(term)
            if count:
                idf = math.log(1 + (len(documents) - holders + 0.5) / (holders + 0.5))
                score += idf * count / (count + 0.9 * (1 - 0.4 + 0.4 * rounded_length(len(document)) / mean))
        scores.append(score)
    found = [i for i, score in enumerate(scores) if score > 0]
    return sorted(found, key=lambda i: (-np.float32(round(scores[i], 5)), names[i]))[:most]


@pytest.mark.parametrize("seed", range(6))
def test_results_are_those_of_plain_loops(seed: int) -> None:
    rng = random.Random(seed)
    texts = [" ".join(rng.choices(WORDS, k=rng.choice([3, 8, 30, 70]))) for _ in range(60)]
    names = [f"B{rng.random():.9f}"[:10] for _ in texts]
    index = build_index(texts, names)
    for _ in range(20):
        query = " ".join(rng.choices([*WORDS, "unknown"], k=rng.randint(1, 4)))
        assert list(index.search(query, 10)) == plain(texts, names, query, 10)


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(1)
    texts = [" ".join(rng.choices(WORDS, k=9)) for _ in range(25)]
    names = [f"B{i}" for i in range(25)]
    whole = build_index(texts, names)
    monkeypatch.setattr("pipelines.environments.webshop.search._CHUNK", 4)
    chunked = build_index(texts, names)
    for name in ("starts", "documents", "weights", "ties"):
        assert np.array_equal(getattr(whole, name), getattr(chunked, name))


def test_equal_scores_are_ordered_by_code() -> None:
    index = build_index(["red chair"] * 4, ["B3", "B1", "B4", "B2"])
    assert index.search("chair", 50) == (1, 3, 0, 2)
    assert index.search("chair", 2) == (1, 3)


@pytest.mark.parametrize("query", ["", "the of a", "nothing known", "?!", "\x00"])
def test_a_query_without_known_terms_finds_nothing(query: str) -> None:
    assert build_index(["red chair", ""], ["B1", "B2"]).search(query, 50) == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The Cat's pyjamas, and DOG’s", ["cat", "pyjama", "dog"]),
        ("wi-fi 3.5mm 1,000 u.s.a", ["wi", "fi", "3.5mm", "1,000", "u.s.a"]),
        ("color: navy | red/blue", ["color", "navi", "red", "blue"]),
        ("it is not on", []),
        ("b" * 300 + " b", ["b" * 255, "b" * 45, "b"]),
        ("y" * 1600 + "ness", ["y" * 254 + "i"] * 6 + ["y" * 70]),
    ],
)
def test_terms(text: str, found: list[str]) -> None:
    assert terms(text) == found


@pytest.mark.parametrize(
    ("word", "expected"),
    [  # Porter 1980, and the two later rules (technology, possibly)
        ("caresses", "caress"), ("ponies", "poni"), ("cats", "cat"), ("feed", "feed"), ("agreed", "agre"), ("plastered", "plaster"),
        ("motoring", "motor"), ("sing", "sing"), ("conflated", "conflat"), ("troubled", "troubl"), ("sized", "size"),
        ("hopping", "hop"), ("falling", "fall"), ("hissing", "hiss"), ("fizzed", "fizz"), ("filing", "file"), ("happy", "happi"),
        ("sky", "sky"), ("relational", "relat"), ("conditional", "condit"), ("vietnamization", "vietnam"), ("operator", "oper"),
        ("triplicate", "triplic"), ("hopeful", "hope"), ("goodness", "good"), ("revival", "reviv"), ("adoption", "adopt"),
        ("replacement", "replac"), ("probate", "probat"), ("rate", "rate"), ("cease", "ceas"), ("controll", "control"),
        ("roll", "roll"), ("technology", "technolog"), ("possibly", "possibl"), ("us", "us"),
    ],
)  # fmt: skip
def test_stems(word: str, expected: str) -> None:
    assert terms(word) == [expected]


def test_lengths_are_rounded_as_in_one_byte() -> None:
    assert [rounded_length(n) for n in (0, 23, 39, 40, 41, 55, 56, 57, 88, 91, 1000)] == [
        0,
        23,
        39,
        40,
        40,
        54,
        56,
        56,
        88,
        88,
        984,
    ]
