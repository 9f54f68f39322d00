"""A retrieval server over the embedded index, so that several trainers share one.

    python -m pipelines.environments.deepsearch.server --corpus wiki-18.jsonl --port 8000

``POST /retrieve {"queries": [...], "topk": 3, "return_scores": true}`` → ``{"result": [[{"document": {"id", "contents"},
"score"}]]}`` (Search-R1, verl); ``{"query": "...", "topk": 3}`` → ``{"query", "results": [...]}`` (rLLM);
``POST /page {"key": title or id}`` → ``{"document": … or null}``; ``GET /health``.
"""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

from pipelines.bounded_server import bounded_server
from pipelines.environments.deepsearch.documents import Document, corpus_sha256
from pipelines.environments.deepsearch.index import Index, open_index
from pipelines.errors import PlatformError

_Query = Annotated[str, Field(max_length=2000)]
_Count = Annotated[int, Field(ge=1, le=100)]


class Retrieve(BaseModel):
    """Either ``queries`` or ``query``; the number of results under any of the names in use."""

    queries: Annotated[list[_Query], Field(max_length=4096)] | None = None
    query: _Query | None = None
    topk: _Count | None = None
    top_k: _Count | None = None
    k: _Count | None = None
    return_scores: bool = True


class Page(BaseModel):
    key: _Query


def make_app(index: Index, topk: int) -> FastAPI:
    """The server's application over an open index; ``topk`` when a request names no number."""
    app = FastAPI(title="Deep Search retrieval", docs_url=None, redoc_url=None)

    @app.get("/health")
    def health() -> dict[str, Any]:
        return {"status": "healthy", "documents": index.documents, "corpus": index.corpus}

    @app.post("/retrieve")
    def retrieve(request: Retrieve) -> dict[str, Any]:
        if (request.queries is None) == (request.query is None):
            raise HTTPException(422, 'give either "queries" (a list) or "query"')
        count = request.topk or request.top_k or request.k or topk
        if request.query is not None:
            return {"query": request.query, "results": _found(index, request.query, count, True)}
        return {"result": [_found(index, one, count, request.return_scores) for one in request.queries or ()]}

    @app.post("/page")
    def page(request: Page) -> dict[str, Any]:
        found = index.page(request.key)
        return {"document": None if found is None else _plain(found)}

    return app


def _found(index: Index, query: str, topk: int, scores: bool) -> list[dict[str, Any]]:
    found = index.search(query, topk)
    return [{"document": _plain(d), "score": score} if scores else _plain(d) for d, score in found]


def _plain(document: Document) -> dict[str, Any]:
    return {"id": document.id, "contents": document.contents}


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted. Exit code 1 with one line when the corpus cannot be served."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.environments.deepsearch.server",
        description="Serve a corpus: POST /retrieve (queries or query), POST /page, GET /health.",
    )
    parser.add_argument(
        "--corpus", type=Path, required=True, help='JSONL, {"id": …, "contents": "title\\ntext"} per line'
    )
    parser.add_argument("--port", type=int, default=8000, help="default: 8000; 0: any that is free")
    parser.add_argument("--host", default="127.0.0.1", help="default: loopback only; there is no authentication")
    parser.add_argument("--topk", type=int, default=3, help="results when a request names no number (default: 3)")
    parser.add_argument("--cache", type=Path, default=Path("artifacts/cache/deepsearch"), help="default: %(default)s")
    chosen = parser.parse_args(arguments)
    try:
        index = open_index(chosen.corpus, corpus_sha256(chosen.corpus, chosen.cache), chosen.cache)
    except PlatformError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return _serve(index, chosen.topk, chosen.host, chosen.port)


def _serve(index: Index, topk: int, host: str, port: int) -> int:
    try:
        listening = socket.create_server((host, port))  # before the words: who reads them may ask at once
    except OSError as error:
        print(f"error: cannot listen at {host}:{port} ({error.strerror}): choose another --port", file=sys.stderr)
        return 1
    print(f"serving {index.documents} documents at http://{host}:{listening.getsockname()[1]}/retrieve", flush=True)
    bounded_server(make_app(index, topk)).run(sockets=[listening])
    return 0


if __name__ == "__main__":
    sys.exit(main())
