"""What somebody may have meant: the nearest of the alternatives, or some of them. Light to import."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

_LONG = 300


def among(word: str, options: Sequence[str]) -> str:
    """``; did you mean …?`` with the nearest of a group's options, or which there are."""
    return _did_you_mean(_near(word, options)) or known(options)


def closest(key: str, keys: Sequence[str]) -> str:
    """The same of dotted keys: in the same section, by the last word anywhere, or by the whole name; or what the section (or
    the top) knows."""
    section, _, last = key.rpartition(".")
    inside = [k for k in keys if k.rpartition(".")[0] == section]
    close = [_join(section, name) for name in _near(last, [k.rpartition(".")[2] for k in inside])]
    close += [k for k in keys if k.rpartition(".")[2] == last]
    if not (close or (section and inside)):
        close = _near(key, keys)
    return _did_you_mean(list(dict.fromkeys(close))[:3]) or known(inside or [k for k in keys if "." not in k])


def known(alternatives: Sequence[str]) -> str:
    shown = ", ".join(alternatives[:20])
    return f"; known: {shown}{', …' if len(alternatives) > 20 else ''}"


def short(text: str) -> str:
    return text if len(text) <= _LONG else text[:_LONG] + "…"


def _did_you_mean(close: Sequence[str]) -> str:
    return f"; did you mean {', '.join(close)}?" if close else ""


def _near(word: str, words: Sequence[str]) -> list[str]:
    return difflib.get_close_matches(word, words, n=3, cutoff=0.6) or [w for w in words if w.startswith(word)]


def _join(section: str, name: str) -> str:
    return f"{section}.{name}" if section else name
