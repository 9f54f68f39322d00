"""Passwords in addresses (a database's, a server's) leave in no text that is printed, kept or raised."""

from __future__ import annotations

import re

# What no server bounds is searched too: so no pattern goes back over what it has read.
_NAME, _END = re.compile(r"[?&]([^=&?\s]*+)="), re.compile(r"[&#\s]")  # of a query's value, and what ends it
_BEFORE_HOST = re.compile(r"(://[^:@/?\s]*+:)(\S*+)")
_SECRET = re.compile("pass|pwd|secret|token", re.IGNORECASE)


def without_passwords(text: str) -> str:
    """The text with the passwords of the URIs in it hidden. By hand: of ``u:p@ss@h`` SQLAlchemy hides the ``p`` alone."""
    return _BEFORE_HOST.sub(_hide_before_host, _without_in_query(text))


def _without_in_query(text: str) -> str:
    parts, at = list[str](), 0
    for found in _NAME.finditer(text):
        if found.start() >= at and _SECRET.search(found[1]):  # else it lies in a value that is hidden, or names none
            end = _END.search(text, found.end())
            parts += [text[at : found.end()], "***"]
            at = end.start() if end else len(text)
    return "".join([*parts, text[at:]])


def _hide_before_host(found: re.Match[str]) -> str:
    """Up to the last @: a password may hold what should have been written as %40 or %2F."""
    _, at, rest = found[2].rpartition("@")
    return f"{found[1]}***@{rest}" if at else found[0]
