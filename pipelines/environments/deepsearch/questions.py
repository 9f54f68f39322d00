"""Questions: rows as FlashRAG publishes them, ``id, question, golden_answers[, metadata]``, from JSONL or Parquet.

A task names its row by place ("hotpotqa/train.jsonl@81234": a byte offset; "nq/test.parquet@17": a row number), so that an
environment reads one line and nobody holds 300,000 questions in memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipelines.environments.deepsearch.documents import NO_UNICODE, read_row, read_rows
from pipelines.errors import DataError
from pipelines.files import is_unicode

FORMATS = (".jsonl", ".parquet")
_COLUMNS = ("id", "question", "golden_answers")
_FORM = "a question has id, question and golden_answers (a list of texts)"


@dataclass(frozen=True, slots=True)
class Question:
    """``golden``: any of them is right. ``metadata``: of generated questions, how an oracle would find the answer."""

    id: str
    question: str
    golden: tuple[str, ...]
    metadata: dict[str, Any] = field(default_factory=dict, hash=False)

    def sha256(self, corpus: str) -> str:
        """Hash of what is asked, of what is right, and of the corpus it is asked of."""
        return hashlib.sha256(json.dumps([self.question, self.golden, corpus]).encode()).hexdigest()


def question_file(folder: Path, splits: tuple[str, ...]) -> Path:
    """The first file that exists of ``<split>.jsonl`` and ``<split>.parquet``, the splits in order of preference.

    Raises:
        DataError: there is none.
    """
    names = [f"{split}{ending}" for split in splits for ending in FORMATS]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(
        f"{folder} has none of {', '.join(names)}: download FlashRAG's {folder.name}, set data.root (or DEEPSEARCH_DATA), "
        "or take it out of data.train_sets, data.in_domain and data.out_of_domain"
    )


def read_questions(path: Path) -> Iterator[tuple[str, Question]]:
    """(place within the file, question) of every row, streamed.

    Raises:
        DataError: the file cannot be read, is empty, or a record (named) is malformed or repeats an id.
    """
    seen: set[str] = set()
    rows = _parquet_rows(path) if path.suffix == ".parquet" else read_rows(path)
    for number, place, row in rows:
        question = _question(path, number, row)
        if question.id in seen:
            raise DataError(
                f"{path}, record {number}: id {question.id!r} was there before: give every question its own"
            )
        seen.add(question.id)
        yield str(place), question
    if not seen:
        raise DataError(f"{path} holds no question: get the file again")


def read_question(path: Path, place: str) -> Question:
    """The question at a place that ``read_questions`` told. Raises DataError."""
    if path.suffix != ".parquet":
        return _question(path, f"at byte {place}", read_row(path, int(place)))
    table = _columns(path, path.stat().st_mtime_ns) if path.is_file() else None
    if table is None or int(place) >= table.num_rows:
        raise DataError(f"{path} has no record {place}: get the file again")
    return _question(path, place, table.slice(int(place), 1).to_pylist()[0])


def _question(path: Path, number: int | str, row: dict[str, Any]) -> Question:
    identity, question, golden = row.get("id"), row.get("question"), row.get("golden_answers")
    metadata = row.get("metadata") or {}
    if isinstance(identity, int) and not isinstance(identity, bool):
        identity = str(identity)
    if not isinstance(identity, str) or not identity:
        raise DataError(f"{path}, record {number}: no id; {_FORM}")
    if not isinstance(question, str) or not question.strip():
        raise DataError(f"{path}, record {number} ({identity}): no question; {_FORM}")
    if not isinstance(golden, list) or not golden or not all(isinstance(one, str) and one.strip() for one in golden):
        raise DataError(f"{path}, record {number} ({identity}): golden_answers is {_short(golden)}; {_FORM}")
    if not is_unicode(identity, question, *golden):
        raise DataError(f"{path}, record {number}: {NO_UNICODE}")
    if not isinstance(metadata, dict):
        raise DataError(f"{path}, record {number} ({identity}): metadata is {_short(metadata)}, not an object")
    return Question(identity, question.strip(), tuple(golden), metadata)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"


def _parquet_rows(path: Path) -> Iterator[tuple[int, int, dict[str, Any]]]:
    table = _columns(path, path.stat().st_mtime_ns)
    for batch_start in range(0, table.num_rows, 4096):
        for i, row in enumerate(table.slice(batch_start, 4096).to_pylist(), start=batch_start):
            yield i, i, row


@lru_cache(maxsize=16)
def _columns(path: Path, changed: int) -> Any:
    """The three columns as a table; a question's metadata, which can be a hundred times larger, is left on disk."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        missing = set(_COLUMNS) - set(pq.read_schema(path).names)
        if missing:
            raise DataError(f"{path} lacks the columns {', '.join(sorted(missing))}; {_FORM}")
        return pq.read_table(path, columns=list(_COLUMNS))
    except (OSError, pa.ArrowException) as error:
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} is no readable Parquet file ({words}): get it again") from None
