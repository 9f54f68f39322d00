"""HTTP servers of ours: whatever their clients do, they take no more than a bounded share of time, memory and connections."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvicorn
from fastapi.responses import PlainTextResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class Bounds:
    """``connections``: at once; one more is closed. ``request_s``: from a connection, or an answer that was given, to the next whole
    request, of which taking that answer is a part. ``answer_s``: from there until the answer is given. In bytes, ``headers`` of a
    request, its ``body``, and ``bodies`` of all requests that are being read or answered."""

    connections: int = 512
    request_s: float = 20.0
    answer_s: float = 300.0
    headers: int = 64 << 10
    body: int = 8 << 20
    bodies: int = 128 << 20


BOUNDS = Bounds()


def bounded_server(app: App, bounds: Bounds = BOUNDS) -> uvicorn.Server:
    """To be run on a listening socket. A body that is too large is answered 413, too many at once 503, headers 400; who is late or one
    too many is cut off."""
    protocol: Any = partial(_Protocol, bounds)
    return uvicorn.Server(
        uvicorn.Config(
            _Bodies(app, bounds), http=protocol, ws="none", lifespan="off", access_log=False, log_level="error",
            h11_max_incomplete_event_size=bounds.headers,
        )
    )  # fmt: skip


@contextmanager
def in_background(app: App, listening: socket.socket, bounds: Bounds = BOUNDS) -> Iterator[None]:
    """Answer in a thread until the block is left; then the socket is closed."""
    server = bounded_server(app, bounds)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        yield
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
        listening.close()


class _Protocol(H11Protocol):
    """uvicorn's own bounds no more than the pause between two requests."""

    def __init__(self, bounds: Bounds, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._bounds = bounds
        self._late: asyncio.TimerHandle | None = None
        self._answered: object = None  # the request that is being answered

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._within(self._bounds.request_s)
        if len(self.connections) > self._bounds.connections:
            transport.abort()

    def handle_events(self) -> None:
        super().handle_events()
        cycle = self.cycle
        if cycle is not None and cycle is not self._answered and not cycle.more_body and not cycle.response_complete:
            self._answered = cycle
            self._within(self._bounds.answer_s)

    def on_response_complete(self) -> None:
        self._within(self._bounds.request_s)
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._late is not None:
            self._late.cancel()
        super().connection_lost(exc)

    def _within(self, seconds: float) -> None:
        if self._late is not None:
            self._late.cancel()
        self._late = self.loop.call_later(seconds, self.transport.abort)


class _Bodies:
    """Reads each request's body, as far as it may go, before the application is asked."""

    def __init__(self, app: App, bounds: Bounds) -> None:
        self._app, self._bounds = app, bounds
        self._held = 0  # bytes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        body = bytearray()
        try:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                part = message.get("body", b"")
                self._held += len(part)
                body += part
                more = message.get("more_body", False)
                if refusal := self._refusal(len(body)):
                    await refusal(scope, receive, send)
                    return
            await self._app(scope, _given(bytes(body), receive), send)
        finally:
            self._held -= len(body)

    def _refusal(self, size: int) -> PlainTextResponse | None:
        if size > self._bounds.body:
            return _refused(413, f"a request may have {self._bounds.body:,} bytes")
        if self._held > self._bounds.bodies:
            return _refused(503, "too much is being asked at once: ask again")
        return None


def _refused(status: int, why: str) -> PlainTextResponse:
    return PlainTextResponse(why, status, headers={"Connection": "close"})


def _given(body: bytes, receive: Receive) -> Receive:
    """The body at first; then what the client does."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def given() -> Message:
        return first.pop() if first else await receive()

    return given
