"""Names as MLflow takes them: letters, digits, ``_ - . : / `` and blanks, at most 250 of them, and a path that is its own normal
form (``mlflow.utils.validation``)."""

from __future__ import annotations

import re
from hashlib import sha256

_LONGEST = 250
# A mark that is not allowed; what would read as an escape; and of a path, a slash at an end or after another, and the dots of
# a part that is nothing else.
_REFUSED = re.compile(r"[^/\w.\- :]|_(?=x)|^/|/$|(?<=/)/|(?<![^/])\.{1,2}(?![^/])|[\n]")
_ESCAPE = re.compile(r"_x([0-9a-f]+)_")


def acceptable(name: str) -> str:
    """The name with each refused character as ``_x<hexadecimal code>_``, e.g. ``_x40_`` for @. Different names stay different; a name
    that is too long ends in a digest in place of its rest.

    >>> acceptable("evaluation/hotpotqa@v1.1 (dev)")
    'evaluation/hotpotqa_x40_v1.1 _x28_dev_x29_'
    """
    escaped = _REFUSED.sub(lambda found: "".join(f"_x{ord(mark):x}_" for mark in found[0]), name) or "_x_"
    if len(escaped) <= _LONGEST:
        return escaped
    digest = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{escaped[: _LONGEST - 17].rstrip('/')}_{digest}"


def original(name: str) -> str:
    """The name that ``acceptable`` was given, unless it was too long."""
    return "" if name == "_x_" else _ESCAPE.sub(lambda found: chr(int(found[1], 16)), name)
