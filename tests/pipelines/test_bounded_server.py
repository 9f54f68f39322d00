"""Servers of ours under clients that are slow, many, large or silent: these are cut off, and whoever asks properly is answered."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import httpx
import pytest

from pipelines.bounded_server import Bounds, in_background

SMALL = Bounds(connections=30, request_s=0.3, answer_s=0.3, headers=4096, body=1 << 20, bodies=2 << 20)
_MB = b"x" * (1 << 20)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Says how long the body was; to /much, more than a socket's buffers hold."""
    message = await receive()
    body = _MB * 64 if scope["path"] == "/much" else str(len(message["body"])).encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]}
    )
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def port() -> Iterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))
    with in_background(app, listening, SMALL):
        yield listening.getsockname()[1]


def answered(port: int) -> bool:
    return httpx.post(f"http://127.0.0.1:{port}/", content=b"four", trust_env=False).text == "4"


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        yield client


def is_cut_off(client: socket.socket) -> bool:
    """Once the server has let go of it; what it said before is skipped."""
    try:
        while client.recv(1 << 20):
            pass
    except ConnectionError:
        return True
    return True


@pytest.mark.parametrize(
    "begun", [b"", b"GET / HTTP/1.1\r\nX: ", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n"]
)
def test_who_says_a_byte_now_and_then_is_cut_off(port: int, begun: bytes) -> None:
    """However regularly. A server without such bounds is asked the same: it would listen for ever."""
    with connected(port) as client:
        client.sendall(begun)
        said = 0
        try:
            while said < 400:
                client.sendall(b"a")
                said += 1
                time.sleep(0.02)
        except ConnectionError:
            pass
        assert said < 400
    assert answered(port)


def test_after_an_answer_the_next_request_has_its_time_too(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in client.recv(1 << 16)
        client.sendall(b"GET / HTTP/1.1\r\nX")
        assert is_cut_off(client)


def test_many_idle_clients_keep_nobody_out_and_are_cut_off(port: int) -> None:
    with ExitStack() as stack:
        idle = [stack.enter_context(connected(port)) for _ in range(SMALL.connections - 5)]
        assert answered(port)
        assert all(map(is_cut_off, idle))
    assert answered(port)


def test_more_clients_than_there_may_be_are_cut_off_though_nobody_is_late() -> None:
    """``connected`` waits 20 s."""
    listening = socket.create_server(("127.0.0.1", 0))
    patient = Bounds(connections=30, request_s=600, answer_s=600)
    with in_background(app, listening, patient), ExitStack() as stack:
        port = listening.getsockname()[1]
        more = [stack.enter_context(connected(port)) for _ in range(60)]
        assert all(map(is_cut_off, more[30:]))
        assert not select.select(more[:30], [], [], 0)[0], "these are still listened to"
        more.pop(0).close()
        assert answered(port)


@pytest.mark.parametrize("framing", [b"Transfer-Encoding: chunked", b"Content-Length: 1073741824"])
def test_a_body_without_end_is_refused_where_the_bound_is(port: int, framing: bytes) -> None:
    part = b"100000\r\n" + _MB + b"\r\n" if b"chunked" in framing else _MB
    sent, said = 0, b""
    with connected(port) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n")
        try:
            while sent < 1024:
                client.sendall(part)
                sent += 1
        except ConnectionError:
            pass
        try:
            said = client.recv(1 << 16)
        except ConnectionError:
            said = b"413"  # it was said, and lost with the connection that the client still filled
    assert sent < 100, "megabytes: the bound, and what sockets hold"
    assert b"413" in said
    assert answered(port)


def test_headers_without_end_are_refused(port: int) -> None:
    with connected(port) as client:
        try:
            client.sendall(b"GET / HTTP/1.1\r\nX: " + _MB)
        except ConnectionError:
            pass
        assert is_cut_off(client)
    assert answered(port)


def test_who_does_not_take_the_answer_is_cut_off(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n")
        assert select.select([client], [], [], 20)[0], "the answer has begun"
        time.sleep(SMALL.request_s * 4)
        got = 0
        try:
            while part := client.recv(1 << 20):
                got += len(part)
        except ConnectionError:
            pass
    assert got < 64 << 20
    assert answered(port)


def test_what_is_held_at_once_is_bounded() -> None:
    """Three bodies of which only two may be held together: each of them alone is small enough. Which one is refused is
    the server's choice."""
    listening = socket.create_server(("127.0.0.1", 0))
    patient = Bounds(connections=30, request_s=20, answer_s=20, body=1 << 20, bodies=2 << 20)
    with in_background(app, listening, patient), ExitStack() as stack:
        port = listening.getsockname()[1]
        clients = [stack.enter_context(connected(port)) for _ in range(3)]
        for client in clients:
            with suppress(ConnectionError):  # refused while it still speaks
                client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + _MB[:900_000])
        assert select.select(clients, [], [], 10)[0]
        time.sleep(0.3)  # another may have been refused beside it
        refused = select.select(clients, [], [], 0)[0]
        served = [client for client in clients if client not in refused]
        assert served
        for client in served:
            client.sendall(_MB[:100_000])
            said = client.recv(1 << 16)
            while not said.endswith(b"1000000"):
                more = client.recv(1 << 16)
                assert more, said
                said += more
        assert answered(port)
