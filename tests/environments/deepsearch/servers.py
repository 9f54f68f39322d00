"""Servers of this process for tests: our own, and one that does whatever it is told."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pipelines.bounded_server import in_background
from pipelines.environments.deepsearch.index import Index
from pipelines.environments.deepsearch.server import make_app

Answer = Callable[[str, Any], tuple[int, object]]  # path, payload → status, body: bytes, chunks, or what JSON can say


class FakeServer(ThreadingHTTPServer):
    """``requests``: every (path, payload) it got; ``connections``: how many were opened. ``answer`` may be replaced at any
    time; ``drip`` is said before it. ``keeps``: connections stay open after an answer."""

    daemon_threads = True

    def __init__(self, answer: Answer, *, keeps: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Keeping if keeps else _Handler)
        self.connections, self._opened = 0, list[socket.socket]()
        self.answer, self.requests, self.headers = answer, list[tuple[str, Any]](), list[dict[str, str]]()
        self.drip: Iterable[bytes] = ()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def get_request(self) -> tuple[Any, Any]:
        self.connections += 1
        connection, address = super().get_request()
        self._opened.append(connection)
        return connection, address

    def close_all(self) -> None:
        """End every connection from this side."""
        for connection in self._opened:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._opened.clear()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is what some tests want."""


class _Handler(BaseHTTPRequestHandler):
    server: FakeServer

    def do_POST(self) -> None:
        payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, payload))
        self.server.headers.append(dict(self.headers))
        status, body = self.server.answer(self.path, payload)
        for line in self.server.drip:
            self.wfile.write(line)
        self.send_response(status)
        if isinstance(body, Iterator):
            self.end_headers()
            for part in body:
                self.wfile.write(part)
            return
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None: ...


class _Keeping(_Handler):
    protocol_version = "HTTP/1.1"


@contextmanager
def fake(answer: Answer, *, keeps: bool = False) -> Iterator[FakeServer]:
    server = FakeServer(answer, keeps=keeps)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def serving(index: Index, topk: int = 3) -> Iterator[str]:
    """Our server; yields the address of ``/retrieve``."""
    listening = socket.create_server(("127.0.0.1", 0))
    with in_background(make_app(index, topk), listening):
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/retrieve"


def document(title: str, key: str = "1") -> dict[str, object]:
    return {"document": {"id": key, "contents": f"{title}\nabout {title}"}, "score": 1.0}


def found(path: str, payload: Any) -> tuple[int, object]:
    """What a good server says in either form: for each query a document with the query for a title."""
    if "query" in payload:
        return 200, {"results": [document(payload["query"])]}
    return 200, {"result": [[document(query)] for query in payload["queries"]]}
