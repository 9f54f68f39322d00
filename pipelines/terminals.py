"""What a terminal cannot show never ends a command. Light to import."""

from __future__ import annotations

import io
import sys


def any_terminal() -> None:
    """From now on standard output shows "?" for a character that its encoding lacks. Standard error escapes it by itself."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
