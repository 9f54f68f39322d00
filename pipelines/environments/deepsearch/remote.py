"""A retrieval server of another process or machine: ``POST /retrieve``, as Search-R1's, rLLM's and ours answer it.

Two request forms: ``queries`` (a list; Search-R1, verl) and ``query`` (one; rLLM). A round's queries are asked together
(``expect``): as one request, or in the one-query form a few at a time.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from pipelines.environments.deepsearch.documents import Document, title_key
from pipelines.environments.deepsearch.json_client import Bounds, JsonClient, ServerRefused, ServerSilent
from pipelines.environments.deepsearch.together import Together
from pipelines.errors import EnvironmentFailure
from pipelines.files import is_unicode

Found = list[Document] | EnvironmentFailure
REMEDY = "start it (python -m pipelines.environments.deepsearch.server), or set benchmark.retrieval.url"
_AT_ONCE = 8  # requests under way in the one-query form
_MOST_QUERIES = 256  # of one request
_PAGE_TOPK = 10


class RemoteRetriever:
    """``Retriever`` protocol."""

    def __init__(self, url: str, topk: int, form: Literal["queries", "query"], bounds: Bounds) -> None:
        self.topk, self._form, self._bounds = topk, form, bounds
        self._client = JsonClient(url, bounds, REMEDY)
        self._pages = url.rsplit("/", 1)[0] + "/page"
        self._round: Together[str, list[Document]] = Together(lambda queries: self._ask(queries, topk))

    def expect(self, query: str) -> None:
        self._round.expect(query)

    def search(self, query: str) -> list[Document]:
        """Raises EnvironmentFailure: the server is dead, or answers garbage."""
        return self._round.answer(query)

    def page(self, key: str) -> Document | None:
        """Our server has pages. For one that has none, the page is sought among what it finds for the title."""
        try:
            return _page(self._client.post({"key": key}, self._pages), self._pages)
        except ServerRefused as error:
            if "answered 404" not in str(error) and "answered 405" not in str(error):
                raise
        (found,) = self._ask([key], _PAGE_TOPK)
        if isinstance(found, EnvironmentFailure):
            raise found
        title = title_key(key)
        return next((one for one in found if one.id == key or (title and title_key(one.title) == title)), None)

    # ----------------------------------------------------------------------------------------------------- requests

    def _ask(self, queries: list[str], topk: int) -> list[Found]:
        """One result or failure per query. A server that refuses a list may do so for one query's sake: then each is
        asked alone; the time for all of them together is bounded as that of one request."""
        deadline = time.monotonic() + self._bounds.patience_s
        if len(queries) > _MOST_QUERIES:
            return self._ask(queries[:_MOST_QUERIES], topk) + self._ask(queries[_MOST_QUERIES:], topk)
        if self._form == "queries":
            try:
                return list(self._together(queries, topk))
            except (ServerSilent, ServerRefused) as error:
                if len(queries) == 1 or isinstance(error, ServerSilent):
                    return [error] * len(queries)
            return [self._alone(query, topk, deadline) for query in queries]
        if len(queries) == 1:
            return [self._alone(queries[0], topk, deadline)]
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            return list(threads.map(lambda query: self._alone(query, topk, deadline), queries))

    def _alone(self, query: str, topk: int, deadline: float) -> Found:
        if time.monotonic() > deadline:
            return ServerSilent(f"{self._client.url} was too slow for a whole round: {REMEDY}")
        try:
            if self._form == "queries":
                return self._together([query], topk)[0]
            answer = self._client.post({"query": query, "topk": topk, "top_k": topk, "return_scores": True})
            return _flat(answer, self._client.url)[:topk]
        except (ServerSilent, ServerRefused) as error:
            return error

    def _together(self, queries: list[str], topk: int) -> list[list[Document]]:
        answer = self._client.post({"queries": queries, "topk": topk, "return_scores": True})
        lists = answer.get("result") if isinstance(answer, dict) else None
        if not isinstance(lists, list) or len(lists) != len(queries):
            raise _wrong(self._client.url, f'no "result" of {len(queries)} lists')
        return [_documents(one, self._client.url)[:topk] for one in lists]


# ------------------------------------------------------------------------------------------------------------- answers


def _flat(answer: Any, url: str) -> list[Document]:
    """Of the one-query form: ``results`` (rLLM, ours), or ``result`` as a list of documents or of one such list."""
    found = answer.get("results", answer.get("result")) if isinstance(answer, dict) else answer
    if isinstance(found, list) and len(found) == 1 and isinstance(found[0], list):
        found = found[0]
    return _documents(found, url)


def _documents(found: Any, url: str) -> list[Document]:
    if not isinstance(found, list):
        raise _wrong(url, "no list of documents")
    return [_document(item, url) for item in found]


def _document(item: Any, url: str) -> Document:
    """``{"document": {"id", "contents"}, "score"}``, or the document itself; ``content`` or title and text will do."""
    inner = item.get("document", item) if isinstance(item, dict) else None
    if not isinstance(inner, dict):
        raise _wrong(url, "a document that is no object")
    contents = inner.get("contents", inner.get("content"))
    if contents is None and isinstance(inner.get("title"), str) and isinstance(inner.get("text"), str):
        contents = f"{inner['title']}\n{inner['text']}"
    if not isinstance(contents, str):
        raise _wrong(url, "a document without contents")
    document = Document(str(inner.get("id", "")), contents)
    if not is_unicode(document.id, contents):
        raise _wrong(url, "half of a character, which is no Unicode")
    return document


def _page(answer: Any, url: str) -> Document | None:
    if not isinstance(answer, dict) or "document" not in answer:
        raise _wrong(url, "no document")
    return None if answer["document"] is None else _document(answer, url)


def _wrong(url: str, what: str) -> ServerRefused:
    return ServerRefused(f"{url} answered JSON with {what}, not what a retrieval server says: {REMEDY}")
