"""Read a huge JSON array or object one element at a time. Other than to Python's json, NaN is damage to ijson, and half an
emoji (which no tokenizer takes) a "?"."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import ijson

from pipelines.errors import DataError

_CHUNK = 1 << 16  # bytes read at a time; the records of a larger piece outgrow the cache, which costs a third
_MOST = 1 << 23  # bytes of one element: what is longer is no element but a damaged file
_DEEPEST = 1000  # brackets that one piece may leave open: the parser's memory grows with their square


def array_elements(path: Path) -> Iterator[Any]:
    """The elements of the array that the file is. Raises DataError naming the file and the record."""
    return _read(path, "[", lambda file: ijson.items(file, "item", use_float=True, buf_size=_CHUNK))


def object_items(path: Path) -> Iterator[tuple[str, Any]]:
    """The keys and values of the object that the file is. Raises DataError naming the file and the record."""
    return _read(path, "{", lambda file: ijson.kvitems(file, "", use_float=True, buf_size=_CHUNK))


def _read(path: Path, opening: str, parse: Callable[[_Watched], Iterator[Any]]) -> Iterator[Any]:
    count = 0
    try:
        with path.open("rb") as file:
            _expect(file, opening)
            watched = _Watched(file)
            for element in parse(watched):
                count, watched.unfinished = count + 1, 0
                yield element
    except FileNotFoundError:
        raise DataError(f"{path} is missing: download WebShop's data, or use data=generated") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): mend that, or use data=generated") from None
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged at record {count + 1} ({_reason(error)}): download it again") from None


def _expect(file: BinaryIO, opening: str) -> None:
    """ijson finds nothing, and nothing wrong, in an array where an object is wanted and the other way round."""
    first = file.read(1)
    while first.isspace():
        first = file.read(1)
    if first != opening.encode():
        raise ijson.JSONError(f"{opening} expected")
    file.seek(0)


class _Watched:
    """A file that is read no further when an element does not end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.unfinished = file, 0

    def read(self, size: int) -> bytes:
        if self.unfinished > _MOST:
            raise ijson.JSONError(f"no end after {self.unfinished} bytes")
        chunk = self._file.read(size)
        self.unfinished += len(chunk)
        opened = sum(map(chunk.count, (b"[", b"{"))) - sum(map(chunk.count, (b"]", b"}")))
        if opened > _DEEPEST:
            raise ijson.JSONError(f"{opened} brackets are left open")
        return chunk


def _reason(error: Exception) -> str:
    """ijson's words, without the lines it quotes; they are bytes where it quotes half a character."""
    said = error.args[0]
    words = str(said if isinstance(said, str) else said.decode(errors="replace")).splitlines()[0]
    return "no UTF-8" if "utf" in words.lower() else words
