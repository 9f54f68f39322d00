"""Passwords in addresses (a database's, a server's) leave in no text that is printed, kept or raised."""

from __future__ import annotations

import re

_PASSWORDS = (  # in a URI's query, and before its host, where one may hold what should have been written as %40 or %2F
    (re.compile(r"([?&][^=&\s]*(?:pass|pwd|secret|token)[^=&\s]*=)[^&#\s]*", re.IGNORECASE), r"\1***"),
    (re.compile(r"(://[^:@/?\s]*):\S*@"), r"\1:***@"),
)


def without_passwords(text: str) -> str:
    """The text with the passwords of the URIs in it hidden. By hand: of ``u:p@ss@h`` SQLAlchemy hides the ``p`` alone."""
    for password, hidden in _PASSWORDS:
        text = password.sub(hidden, text)
    return text
