"""Passwords in addresses (a database's, a server's) leave in no text that is printed, kept or raised."""

from __future__ import annotations

import re

# What no server bounds is searched too: so no pattern goes back over what it has read.
_IN_QUERY = re.compile(r"([?&])([^=&?\s]*+)=([^&#\s]*+)")
_BEFORE_HOST = re.compile(r"(://[^:@/?\s]*+:)(\S*+)")
_NAMES = re.compile("pass|pwd|secret|token", re.IGNORECASE)


def without_passwords(text: str) -> str:
    """The text with the passwords of the URIs in it hidden. By hand: of ``u:p@ss@h`` SQLAlchemy hides the ``p`` alone."""
    return _BEFORE_HOST.sub(_hide_before_host, _IN_QUERY.sub(_hide_in_query, text))


def _hide_in_query(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}=***" if _NAMES.search(found[2]) else found[0]


def _hide_before_host(found: re.Match[str]) -> str:
    """Up to the last @: a password may hold what should have been written as %40 or %2F."""
    _, at, rest = found[2].rpartition("@")
    return f"{found[1]}***@{rest}" if at else found[0]
