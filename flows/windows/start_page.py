"""One short address on this machine that leads to all pages: a list of links, and a path for each."""

from __future__ import annotations

import asyncio
import html
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any


def path_of(name: str) -> str:
    """ "comparison of alfworld" → "/comparison-of-alfworld"."""
    return "/" + re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")


@contextmanager
def start_page(port: int, addresses: Callable[[], Mapping[str, str]]) -> Iterator[None]:
    """Answer on loopback until the block is left, by what ``addresses`` says at each look: a launch that has begun since has its
    link. Raises OSError: the port is taken."""
    from fastapi.responses import HTMLResponse, RedirectResponse

    from pipelines.bounded_server import in_background

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        known = await asyncio.to_thread(addresses)  # a database that is locked keeps only its own asker waiting
        target = {path_of(name): address for name, address in known.items() if is_link(address)}.get(scope["path"])
        page = HTMLResponse(_page(known), 200 if scope["path"] == "/" else 404)
        await (RedirectResponse(target, 302) if target else page)(scope, receive, send)

    with in_background(answer, socket.create_server(("127.0.0.1", port))):
        yield


def is_link(address: str) -> bool:
    return address.startswith("http")


def _page(addresses: Mapping[str, str]) -> str:
    links = "".join(f"<li>{_item(name, address)}</li>" for name, address in addresses.items())
    return f"<!doctype html><meta charset=utf-8><title>EMPG</title><h1>EMPG</h1><ul>{links}</ul>"


def _item(name: str, address: str) -> str:
    shown = html.escape(name)
    return f'<a href="{path_of(name)}">{shown}</a>' if is_link(address) else f"{shown}: {html.escape(address)}"
