"""One short address on this machine that leads to all pages: a list of links, and a path for each."""

from __future__ import annotations

import html
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def path_of(name: str) -> str:
    """ "comparison of alfworld" → "/comparison-of-alfworld"."""
    return "/" + re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")


@contextmanager
def start_page(port: int, addresses: Mapping[str, str]) -> Iterator[None]:
    """Answer on loopback until the block is left. Raises OSError: the port is taken."""
    paths = {path_of(name): address for name, address in addresses.items()}
    links = "".join(f'<li><a href="{path_of(name)}">{html.escape(name)}</a></li>' for name in addresses)
    page = f"<!doctype html><meta charset=utf-8><title>EMPG</title><h1>EMPG</h1><ul>{links}</ul>".encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            target = paths.get(self.path)
            self.send_response(302 if target else 200 if self.path == "/" else 404)
            if target:
                self.send_header("Location", target)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            if not target:
                self.wfile.write(page)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
