"""The retrieval server, as it is started, under 200 idle clients, slow ones, a body of a gigabyte and headers of a megabyte."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import psutil

from pipelines.bounded_server import BOUNDS
from tests.faults.scenarios.scene import Scene
from tests.flows.test_command_line import environment

_IDLE, _SLOW, _GIGABYTE = 200, 20, 1 << 30
_ANSWER_S, _GROWTH_MB = 10.0, 300
_MODULE = "pipelines.environments.deepsearch.server"


def own_server_attacked(scene: Scene) -> None:
    """Whoever asks properly is answered meanwhile, and its memory stays bounded."""
    scene.work.mkdir()
    server, port = _serve(scene.work)
    memory = psutil.Process(server.pid).memory_info
    before, over = memory().rss, threading.Event()
    with ExitStack() as stack:
        stack.callback(server.kill)
        idle = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(_IDLE)]
        drips = [threading.Thread(target=_drip, args=(port, over)) for _ in range(_SLOW)]
        sent = [0, 0]
        pours = [threading.Thread(target=_pour, args=(port, chunked, sent)) for chunked in (False, True)]
        for thread in (*drips, *pours):
            thread.start()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * (1 << 20))
        slowest = most = 0.0
        ends = time.monotonic() + BOUNDS.request_s + 10
        while time.monotonic() < ends:
            slowest, most = max(slowest, _asked(port)), max(most, memory().rss)
            time.sleep(0.2)
        over.set()
        for thread in (*drips, *pours):
            thread.join()
        for client in idle:
            client.settimeout(1.0)
            with suppress(ConnectionError):
                if client.recv(1):
                    scene.faults.append("an idle client was told something")
    grown = (most - before) / 2**20
    scene.seen.append(
        f"answers after at most {slowest:.1f} s, memory +{grown:.0f} MB, of a gigabyte {max(sent) >> 20} MB were taken"
    )
    if slowest > _ANSWER_S or grown > _GROWTH_MB or max(sent) == _GIGABYTE:
        scene.faults.append(scene.seen[-1])


def _serve(folder: Path) -> tuple[subprocess.Popen[str], int]:
    corpus = folder / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"id": str(n), "contents": f"title {n}\ntext {n}"}) + "\n" for n in range(50)))
    command = [sys.executable, "-m", _MODULE, "--corpus", str(corpus), "--port", "0", "--cache", str(folder / "cache")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    assert server.stdout is not None
    found = re.search(r":(\d+)/retrieve", server.stdout.readline())
    assert found is not None
    return server, int(found[1])


def _asked(port: int) -> float:
    """Seconds until the answer."""
    began = time.monotonic()
    asked = {"queries": ["title 7"], "topk": 1}
    found = httpx.post(f"http://127.0.0.1:{port}/retrieve", json=asked, timeout=60.0, trust_env=False).json()["result"]
    assert found[0][0]["document"]["id"] == "7", found
    return time.monotonic() - began


def _drip(port: int, over: threading.Event) -> None:
    """A byte a second."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"POST /retrieve HTTP/1.1\r\nHost: x\r\nX: ")
        while not over.wait(1.0):
            client.sendall(b"x")


def _pour(port: int, chunked: bool, sent: list[int]) -> None:
    part = b"x" * (1 << 20)
    head = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % _GIGABYTE
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"POST /retrieve HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
        while sent[chunked] < _GIGABYTE:
            client.sendall(b"100000\r\n" + part + b"\r\n" if chunked else part)
            sent[chunked] += len(part)


SCENARIOS = (own_server_attacked,)
