"""Corpora: one JSON object per line, ``{"id": …, "contents": "title\\ntext"}``, as Search-R1 and FlashRAG write them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import DataError
from pipelines.files import is_unicode, remembered_sha256

_FORM = 'every line of a corpus is a JSON object {"id": "…", "contents": "title\\ntext"}'

_LONGEST_ID = 65_530  # the search engine leaves longer ones out of its index
NO_UNICODE = (
    "half of a character (an escape \\ud800 to \\udfff alone), which is no Unicode: take it out, or get the file again"
)


@dataclass(frozen=True, slots=True)
class Document:
    """A page or passage. The first line of ``contents`` is its title (wiki-18 has it in quotation marks), the rest its
    text."""

    id: str
    contents: str

    @property
    def title(self) -> str:
        return self.contents.partition("\n")[0]

    @property
    def text(self) -> str:
        return self.contents.partition("\n")[2]


def title_key(title: str) -> str:
    """What two spellings of one title share: no quotation marks around it, single blanks, case folded."""
    return " ".join(title.strip().strip('"').split()).casefold()[:255]


def read_documents(path: Path) -> Iterator[Document]:
    """Stream a corpus; blank lines count for nothing.

    Raises:
        DataError: the file cannot be read, holds no document, or a record (named by its line) is malformed.
    """
    return (document for _, document in numbered_documents(path))


def numbered_documents(path: Path) -> Iterator[tuple[int, Document]]:
    """``read_documents``, each with its line's number."""
    count = 0
    for line, _, row in read_rows(path):
        identity, contents = row.get("id"), row.get("contents")
        if isinstance(identity, int) and not isinstance(identity, bool):
            identity = str(identity)
        if not isinstance(identity, str) or not identity or not isinstance(contents, str) or not contents.strip():
            raise DataError(f"{path}, line {line}: no id or no contents; {_FORM}")
        if not is_unicode(identity, contents):
            raise DataError(f"{path}, line {line}: {NO_UNICODE}")
        if len(identity.encode()) > _LONGEST_ID:
            raise DataError(f"{path}, line {line}: an id of more than {_LONGEST_ID} bytes, {identity[:40]!r}…; {_FORM}")
        count += 1
        yield line, Document(identity, contents)
    if not count:
        raise DataError(f"{path} holds no document; {_FORM}")


def read_rows(path: Path) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """(line number from 1, byte offset, object) of a JSONL file, streamed. Raises DataError, naming file and line."""
    offset = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, offset, _row(path, number, line)
                offset += len(line)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check data.root and the file's name") from None


def read_row(path: Path, offset: int) -> dict[str, Any]:
    """The object whose line starts at a byte offset. Raises DataError."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return _row(path, f"at byte {offset}", file.readline())
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check data.root and the file's name") from None


def _row(path: Path, number: int | str, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:  # also: not UTF-8, thousands of digits or of brackets
        words = str(error).partition(";")[0]
        raise DataError(
            f"{path}, line {number}: not JSON ({words}): the file is cut or damaged, get it again"
        ) from None
    if not isinstance(row, dict):
        raise DataError(f"{path}, line {number}: a {type(row).__name__}, not an object; get the file again")
    return row


def corpus_sha256(path: Path, memo: Path) -> str:
    """SHA-256 of a corpus file, remembered in the folder ``memo``.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        return remembered_sha256(path, memo)
    except OSError as error:
        raise DataError(f"corpus {path} cannot be read ({error.strerror}): check data.root and data.corpus") from None
