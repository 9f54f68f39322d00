"""BM25 as the original's Lucene index computes it (Anserini: k1 0.9, b 0.4, ``EnglishAnalyzer``), in numpy arrays.

Everything in Lucene that shows in the order of results is here: words are cut as its tokenizer cuts them (``tokens.py``),
document lengths are rounded to one byte, a query term counts as often as it is written, scores are 32-bit, and equal scores
are ordered by product code.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from lunr.stemmer import PorterStemmer

from pipelines.environments.webshop.tokens import tokens

WORDS = 2  # raise when the terms of some text change: kept indexes are built anew, and real data make other panels
K1, B = 0.9, 0.4
_STOP_WORDS_TEXT = """
a an and are as at be but by for if in into is it no not of on or such that the their then there these they this
to was will with
"""
_STOP_WORDS = frozenset(_STOP_WORDS_TEXT.split())
_POSSESSIVES = ("'s", "’s", "＇s")
_CHUNK = 20_000  # documents sorted at a time while indexing
_BLOCK = 1 << 22  # postings weighed at a time: bounds what a million documents need beside the index itself

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@lru_cache(maxsize=1 << 18)
def _term(word: str) -> str:
    """The stem of a word; "" for a stop word."""
    if word.endswith(_POSSESSIVES):
        word = word[:-2]
    # Lunr's stemmer is the one that Lucene has, Porter's of 1980 with his later rules. So is nltk's, but that comes with all of
    # nltk: a second and 170 MB for every process that searches. A stemmer holds the word it is at, so threads do not share one.
    return "" if word in _STOP_WORDS else PorterStemmer().stem(word)


def terms(text: str) -> list[str]:
    """The index terms of a text, in its order."""
    return [term for word in tokens(text.lower()) if (term := _term(word))]


def rounded_length(length: int) -> int:
    """A document's length as Lucene keeps it in one byte (``SmallFloat.intToByte4``): exact below 40, then its four
    leading bits."""
    if length < 24:
        return length
    rest = length - 24
    shift = max(rest.bit_length() - 4, 0)
    return 24 + ((rest >> shift) << shift)


@dataclass(frozen=True, slots=True)
class Index:
    """Postings by term: those of term t are ``documents[starts[t]:starts[t + 1]]`` (int32, ascending) with what each adds
    to a score in ``weights`` (float32). ``ties``: int32[documents], the place of a document among equal scores."""

    vocabulary: dict[str, int]
    starts: Longs
    documents: Ints
    weights: Floats
    ties: Ints

    def search(self, query: str, most: int) -> tuple[int, ...]:
        """Numbers of the best documents that share a term with the query, best first."""
        scores = np.zeros(len(self.ties), dtype=np.float64)
        wanted = [self.vocabulary[term] for term in terms(query) if term in self.vocabulary]
        for term in wanted:
            part = slice(self.starts[term], self.starts[term + 1])
            scores[self.documents[part]] += self.weights[part]
        found = np.flatnonzero(scores)
        rounded = scores[found].astype(np.float32)
        if len(found) > most:
            least = np.partition(rounded, len(found) - most)[len(found) - most]
            found, rounded = found[rounded >= least], rounded[rounded >= least]
        order = np.lexsort((self.ties[found], -rounded))[:most]
        return tuple(found[order].tolist())


def build_index(texts: Iterable[str], names: Sequence[str]) -> Index:
    """Index the documents; ``names`` (filled by the time the texts are spent) order equal scores."""
    vocabulary: dict[str, int] = {}
    chunks: list[tuple[Ints, Ints, Ints]] = []
    lengths = array("i")
    flat, owners = array("i"), array("i")
    number = vocabulary.setdefault
    for document, text in enumerate(texts):
        found = [number(term, len(vocabulary)) for term in terms(text)]
        flat.extend(found)
        lengths.append(len(found))
        owners.append(len(found))
        if len(owners) == _CHUNK:
            chunks.append(_postings(flat, owners, document + 1 - len(owners)))
            flat, owners = array("i"), array("i")
    chunks.append(_postings(flat, owners, len(lengths) - len(owners)))
    starts, documents, counts = _merged(chunks, len(vocabulary))
    ties = np.empty(len(lengths), dtype=np.int32)
    ties[np.argsort(np.asarray(names, dtype=str), kind="stable")] = np.arange(len(lengths), dtype=np.int32)
    weights = _weights(starts, documents, counts, np.asarray(lengths, dtype=np.int64))
    return Index(vocabulary, starts, documents, weights, ties)


def _postings(flat: array[int], owners: array[int], first: int) -> tuple[Ints, Ints, Ints]:
    """(terms, documents, counts) of one chunk, sorted by term, then document."""
    repeats = np.asarray(owners, dtype=np.int64)
    documents = np.repeat(np.arange(first, first + len(repeats), dtype=np.int64), repeats)
    keys, counts = np.unique(np.asarray(flat, dtype=np.int64) << 32 | documents, return_counts=True)
    return (keys >> 32).astype(np.int32), (keys & 0xFFFFFFFF).astype(np.int32), counts.astype(np.int32)


def _merged(chunks: Sequence[tuple[Ints, Ints, Ints]], size: int) -> tuple[Longs, Ints, Ints]:
    """The chunks' postings by term; within a term the chunks, and so the documents, stay in order."""
    totals = np.zeros(size + 1, dtype=np.int64)
    for found, _, _ in chunks:
        totals[1:] += np.bincount(found, minlength=size)
    starts = np.cumsum(totals)
    documents, counts = (np.empty(int(starts[-1]), dtype=np.int32) for _ in range(2))
    free = starts[:-1].copy()
    for found, where, how_often in chunks:
        sizes = np.bincount(found, minlength=size)
        before = np.cumsum(sizes) - sizes
        places = np.arange(len(found)) - before[found] + free[found]
        documents[places], counts[places] = where, how_often
        free += sizes
    return starts, documents, counts


def _weights(starts: Longs, documents: Ints, counts: Ints, lengths: Longs) -> Floats:
    """idf · tf / (tf + k1 (1 − b + b · length / mean length)), Lucene's form without the factor (k1 + 1)."""
    total, sizes = len(lengths), np.diff(starts)
    idf = np.log(1 + (total - sizes + 0.5) / (sizes + 0.5))
    shown = np.array([rounded_length(n) for n in range(int(lengths.max(initial=0)) + 1)], dtype=np.float64)[lengths]
    norms = K1 * (1 - B + B * shown / max(lengths.mean() if total else 1.0, 1e-9))
    weights = np.empty(len(documents), dtype=np.float32)
    for begin in range(0, len(documents), _BLOCK):
        part = slice(begin, min(begin + _BLOCK, len(documents)))
        term = np.searchsorted(starts, np.arange(part.start, part.stop), side="right") - 1
        weights[part] = idf[term] * counts[part] / (counts[part] + norms[documents[part]])
    return weights
