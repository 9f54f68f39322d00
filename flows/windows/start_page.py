"""One short address on this machine that leads to all pages: a list of links, and a path for each."""

from __future__ import annotations

import html
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


def path_of(name: str) -> str:
    """ "comparison of alfworld" → "/comparison-of-alfworld"."""
    return "/" + re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")


@contextmanager
def start_page(port: int, addresses: Mapping[str, str]) -> Iterator[None]:
    """Answer on loopback until the block is left. Raises OSError: the port is taken."""
    from fastapi.responses import HTMLResponse, RedirectResponse

    from pipelines.bounded_server import in_background

    paths = {path_of(name): address for name, address in addresses.items()}
    links = "".join(f'<li><a href="{path_of(name)}">{html.escape(name)}</a></li>' for name in addresses)
    page = f"<!doctype html><meta charset=utf-8><title>EMPG</title><h1>EMPG</h1><ul>{links}</ul>"

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        target = paths.get(scope["path"])
        status = 200 if scope["path"] == "/" else 404
        response = RedirectResponse(target, 302) if target else HTMLResponse(page, status)
        await response(scope, receive, send)

    with in_background(answer, socket.create_server(("127.0.0.1", port))):
        yield
