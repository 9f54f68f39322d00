"""What is said on a terminal; and output that somebody may stop reading in mid-work: then it goes nowhere, and the work goes on."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


def say(*lines: str) -> None:
    """Sentences on standard output: on a terminal broken between words, elsewhere a line each."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for line in lines:
        print(textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False) if width else line, flush=True)


class UntilClosed:
    """A text stream that is silent once its pipe is closed; all else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._silence()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._silence()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _silence(self) -> None:
        """What the stream still holds would be written at the process' end."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        with suppress(OSError):
            self._stream.flush()


@contextmanager
def spoken_to_whoever_listens() -> Iterator[None]:
    """Both streams of this process; one that was closed before it began is nowhere."""
    streams = sys.stdout, sys.stderr
    opened: list[Any] = [UntilClosed(each or open(os.devnull, "w")) for each in streams]  # noqa: SIM115
    sys.stdout, sys.stderr = opened
    try:
        yield
    finally:
        for each in opened:
            each.flush()
        sys.stdout, sys.stderr = streams
