"""The embedded search engine: a tantivy (BM25) index of a corpus, built once and cached under the corpus' hash.

A cached index is a folder: ``index.json`` (which corpus, how many documents, the checksum of every file) beside
``tantivy/``. One that is damaged, unfinished, or of another corpus or form is built anew; where the cache cannot be
written, the index is built in memory.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.caches import damage, sealed_files
from pipelines.environments.deepsearch.documents import Document, numbered_documents, read_documents, title_key
from pipelines.environments.deepsearch.scripts import spaced, words
from pipelines.errors import DataError
from pipelines.files import replaced_folder, sealed, sha256_file, unsealed, warn_damaged

if TYPE_CHECKING:
    from tantivy import Document as TantivyDocument
    from tantivy import Schema, TextAnalyzer

FORM = 4  # raise when the schema, the terms of some text or the folder's layout change
_ENGLISH = "english"
_HEAP = 128_000_000
_TITLE_BOOST = 2.0
_LARGE = 1 << 30  # files above it are checked by their size alone
_MOST_PASSAGES = 200  # that share a title and are read as one page


class Index:
    """``search`` and ``page`` are functions of the corpus alone, because ties are broken by the order of its documents."""

    def __init__(self, index: Any, corpus: str) -> None:
        index.register_tokenizer(_ENGLISH, _english())
        self.corpus, self._index = corpus, index
        self._searcher = index.searcher()
        self._in_order = self._searcher.num_segments <= 1  # else which document lies in which segment is chance

    @property
    def documents(self) -> int:
        return int(self._searcher.num_docs)

    def search(self, query: str, topk: int) -> list[tuple[Document, float]]:
        """The ``topk`` best documents with their scores, best first. A query of stop words and marks finds what has it for a
        title: "The Who", "!!!"."""
        hits = self._hits(words(query), topk) or self._with("key", title_key(query), topk)
        return [(self._document(address), score) for score, address in hits]

    def page(self, key: str) -> Document | None:
        """The document with that id, or else all passages with that title as one, or None when there is neither."""
        hits = self._with("id", key, _MOST_PASSAGES) or self._with("key", title_key(key), _MOST_PASSAGES)
        found = [self._document(address) for _, address in hits]
        if not found:
            return None
        text = " ".join(document.text for document in found)
        return Document(found[0].id, f"{found[0].title}\n{text}")

    def _hits(self, asked: str, topk: int) -> list[tuple[float, Any]]:
        """Of words in lower case, in which AND, OR and NOT are words too."""
        if not asked:
            return []
        try:
            parsed = self._index.parse_query(asked, ["title", "body"], {"title": _TITLE_BOOST})
        except ValueError:  # "Only excluding terms given": there are stop words alone
            return []
        return self._best(parsed, topk)

    def _with(self, field: str, value: str, most: int) -> list[tuple[float, Any]]:
        """Of documents whose field has exactly that value; "" is nobody's, though documents without a title have it."""
        from tantivy import Query

        return self._best(Query.term_query(self._index.schema, field, value), most) if value else []

    def _best(self, query: Any, topk: int) -> list[tuple[float, Any]]:
        """The best hits by score, then by place in the corpus. The engine breaks ties by segment first. So where a large
        corpus has several segments, hits are fetched until the last one is worse than the last one wanted, and sorted."""
        if self._in_order:
            return list(self._searcher.search(query, topk, count=False).hits)
        limit = topk + 8
        while True:
            hits = self._searcher.search(query, limit, count=False).hits
            if len(hits) < limit or _rounded(hits[-1][0]) < _rounded(hits[topk - 1][0]):
                break
            limit *= 4
        places = self._searcher.fast_field_values("position", [address for _, address in hits])
        ranked = sorted(zip(hits, places, strict=True), key=lambda pair: (-_rounded(pair[0][0]), pair[1]))
        return [hit for hit, _ in ranked[:topk]]

    def _document(self, address: Any) -> Document:
        fields = self._searcher.doc(address)
        return Document(str(fields.get_first("id")), bytes(fields.get_first("contents")).decode())


def _rounded(score: float) -> float:
    """The score without its last digits, in which sums of the same terms in another order differ."""
    return round(score, 4)


def open_index(corpus: Path, sha256: str, cache: Path) -> Index:
    """The index of the corpus whose hash is ``sha256``. It comes from ``cache``, or is built and kept there if the disk allows.

    Raises:
        DataError: a record of the corpus is malformed.
    """
    folder = cache / f"{sha256[:32]}-{FORM}"
    opened = _opened(folder, sha256)
    if opened is not None:
        return opened
    try:
        cache.mkdir(parents=True, exist_ok=True)
        return _built_once(corpus, sha256, folder)
    except OSError:  # full or read-only: the cache is only a cache
        return build_index(distinct_documents(corpus), sha256, None)


def _built_once(corpus: Path, sha256: str, folder: Path) -> Index:
    """Build into a folder beside it and rename that. Of several processes that want the index, one builds."""
    from filelock import FileLock

    with FileLock(folder.with_suffix(".lock")):
        opened = _opened(folder, sha256)  # another may have been quicker
        if opened is not None:
            return opened
        with replaced_folder(folder) as draft:
            _write(corpus, sha256, draft)
    opened = _opened(folder, sha256)
    if opened is None:
        raise OSError(f"{folder} is not what was written")
    return opened


def _write(corpus: Path, sha256: str, folder: Path) -> None:
    (folder / "tantivy").mkdir()
    try:
        built = build_index(distinct_documents(corpus), sha256, folder / "tantivy")
    except UnicodeError:
        raise
    except ValueError as error:  # tantivy's word for a disk that is full
        raise OSError(str(error)) from None
    files = {path.name: _stamp(path) for path in _files(folder)}
    record = {
        "form": FORM,
        "corpus": sha256,
        "documents": built.documents,
        "tantivy": version("tantivy"),
        "files": files,
    }
    (folder / "index.json").write_bytes(sealed(record))


def _opened(folder: Path, sha256: str) -> Index | None:
    """The cached index, or None when there is none that is whole and of this corpus."""
    from tantivy import Index as TantivyIndex

    if not folder.is_dir():
        return None
    try:
        record = _record(folder)
        if record["tantivy"] != version("tantivy"):
            return None
        if (record["form"], record["corpus"]) != (FORM, sha256):
            raise ValueError("it is another corpus'")
        index = Index(TantivyIndex.open(str(folder / "tantivy")), sha256)
        if record["documents"] != index.documents:  # of large files the sizes alone were compared
            raise ValueError("it holds another number of documents")
        return index
    except (OSError, ValueError, KeyError, TypeError):
        warn_damaged(folder, "the index is built again")
        return None


def cached(cache: Path) -> Iterator[tuple[Path, str]]:
    """Indices and remembered checksums: each entry, and what is wrong with it, "" where nothing is."""
    for folder in sorted(path for path in cache.glob(f"[!.]*-{FORM}") if path.is_dir()):
        yield folder, damage(folder, _record)
    yield from sealed_files(cache, "*.json")


def _record(folder: Path) -> dict[str, Any]:
    """Of a cached index whose files are as it says. Raises OSError, ValueError."""
    record = unsealed((folder / "index.json").read_bytes())
    if not isinstance(record, dict) or not isinstance(files := record.get("files"), dict):
        raise ValueError("index.json is no record of an index")
    found = {path.name: _stamp(path) for path in _files(folder)}
    if wrong := sorted(name for name in files.keys() | found.keys() if files.get(name) != found.get(name)):
        raise ValueError(f"{wrong[0]} is not as it was written")
    return record


def _files(folder: Path) -> list[Path]:
    """What tantivy wrote, but for its locks, which come and go."""
    return sorted(path for path in (folder / "tantivy").iterdir() if path.suffix != ".lock")


def _stamp(path: Path) -> str:
    size = path.stat().st_size
    return str(size) if size > _LARGE else sha256_file(path)


def distinct_documents(corpus: Path) -> Iterator[Document]:
    """The documents of a corpus in which no two have one id, by which a page is opened. Eight bytes are kept of each and not
    its id, because a large corpus has 21 million. Raises DataError, which names both lines, after the last document."""
    import numpy as np

    hashes = array("q")
    for document in read_documents(corpus):
        hashes.append(hash(document.id))
        yield document
    ordered = np.sort(np.frombuffer(hashes, dtype=np.int64))
    repeated = set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())
    first: dict[str, int] = {}
    for line, document in numbered_documents(corpus) if repeated else ():
        if hash(document.id) in repeated and first.setdefault(document.id, line) != line:
            raise DataError(
                f"{corpus}, line {line}: id {document.id!r} was there before, in line {first[document.id]}: give every "
                "document its own"
            )


def build_index(documents: Iterable[Document], sha256: str, folder: Path | None) -> Index:
    """Index the documents in a folder that exists, or in memory. Raises ValueError when the folder cannot be written."""
    import tantivy

    schema = _schema()
    index = tantivy.Index(schema, path=None if folder is None else os.fspath(folder))
    index.register_tokenizer(_ENGLISH, _english())
    writer = index.writer(_HEAP, 1)
    try:
        for position, document in enumerate(documents):
            writer.add_document(_fields(position, document))
        writer.commit()
    finally:  # its threads write on, into a folder that may be about to be removed
        writer.wait_merging_threads()
    index.reload()
    return Index(index, sha256)


def _fields(position: int, document: Document) -> TantivyDocument:
    import tantivy

    fields = tantivy.Document()
    fields.add_unsigned("position", position)
    fields.add_text("id", document.id)
    fields.add_text("key", title_key(document.title))
    fields.add_text("title", spaced(document.title))
    fields.add_text("body", spaced(document.text))
    fields.add_bytes("contents", document.contents.encode())
    return fields


def _schema() -> Schema:
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("position", fast=True)
    builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("key", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("title", tokenizer_name=_ENGLISH, index_option="freq")
    builder.add_text_field("body", tokenizer_name=_ENGLISH, index_option="freq")
    builder.add_bytes_field("contents", stored=True)
    return builder.build()


def _english() -> TextAnalyzer:
    """Near Lucene's English analyser, which Search-R1's BM25 has: lower case, no stop words, a stemmer. It is Snowball's
    English one, Porter's own successor: "generously" becomes "generous", in Lucene "gener"."""
    from tantivy import Filter, TextAnalyzerBuilder, Tokenizer

    builder = TextAnalyzerBuilder(Tokenizer.simple()).filter(Filter.remove_long(40)).filter(Filter.lowercase())
    return builder.filter(Filter.stopword("english")).filter(Filter.stemmer("english")).build()
