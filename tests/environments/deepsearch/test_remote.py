"""A retrieval server that is ours, foreign, slow, broken, lying or dead: answers are the embedded index's, or one line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest

from pipelines.environments.deepsearch.config import DeepsearchConfig, RetrievalSettings
from pipelines.environments.deepsearch.documents import Document
from pipelines.environments.deepsearch.index import Index
from pipelines.environments.deepsearch.json_client import ServerRefused, ServerSilent
from pipelines.environments.deepsearch.remote import REMEDY, RemoteRetriever
from pipelines.environments.deepsearch.server import main
from pipelines.environments.pool import EnvironmentPool
from pipelines.errors import EnvironmentFailure
from pipelines.protocols import SamplingSettings
from pipelines.records import StopReason
from pipelines.stages.episodes import EpisodeSpec, play, require_one_alive
from tests.environments.deepsearch.conftest import PAGES, benchmark_of, real, write_rows
from tests.environments.deepsearch.servers import Answer, document, fake, found, serving
from tests.pipelines.test_rounds_episodes import ScriptedSampler

Form = Literal["queries", "query"]
FORMS: tuple[Form, ...] = ("queries", "query")
QUERIES = ["Zulet", "who was a writer?", "", "Rimol Gomun", "unheard", "a \x00 \U0001f600 < > \" ' \\"]


def client(url: str, form: Form = "queries", retries: int = 2, **bounds: Any) -> RemoteRetriever:
    chosen = {"timeout_s": 5.0, "backoff_s": 0.01, "max_bytes": 100_000} | bounds
    settings = RetrievalSettings(backend="remote", url="http://x", collection="four pages", form=form, topk=3)
    return RemoteRetriever(settings.model_copy(update={"url": url, "retries": retries, **chosen}))  # whatever they are


@pytest.mark.parametrize("form", FORMS)
def test_a_server_of_ours_finds_what_the_index_finds(index: Index, form: Form) -> None:
    with serving(index) as url:
        retriever = client(url, form)
        for query in QUERIES:
            assert retriever.search(query) == [document for document, _ in index.search(query, 3)]
        for query in QUERIES:
            retriever.expect(query)
        assert [retriever.search(q) for q in QUERIES] == [[d for d, _ in index.search(q, 3)] for q in QUERIES]
        for key in ("Rimol", "2", "Nowhere"):
            assert retriever.page(key) == index.page(key)


def test_our_server_speaks_both_forms_and_refuses_neither_and_both(index: Index) -> None:
    with serving(index) as url, httpx.Client(trust_env=False) as http:
        batch = http.post(url, json={"queries": ["Zulet", ""], "topk": 1, "return_scores": True}).json()
        assert [len(one) for one in batch["result"]] == [1, 0]
        assert batch["result"][0][0]["document"] == {"id": "1", "contents": PAGES["1"]}
        assert batch["result"][0][0]["score"] > 0
        plain = http.post(url, json={"queries": ["Zulet"], "topk": 1, "return_scores": False}).json()
        assert plain["result"] == [[{"id": "1", "contents": PAGES["1"]}]]
        single = http.post(url, json={"query": "Zulet", "top_k": 1}).json()
        assert single["results"] == batch["result"][0]
        for wrong in (
            {},
            {"query": "a", "queries": ["a"]},
            {"query": "a", "topk": 0},
            {"query": "x" * 3000},
            {"queries": "a"},
        ):
            assert http.post(url, json=wrong).status_code == 422
        assert http.get(url.replace("/retrieve", "/health")).json()["documents"] == 4


@pytest.mark.parametrize("form", FORMS)
def test_a_round_is_asked_together(form: Form) -> None:
    with fake(found) as server:
        retriever = client(f"{server.url}/retrieve", form)
        for query in ("b", "a", "b"):
            retriever.expect(query)
        assert server.requests == []
        assert [retriever.search(q)[0].title for q in ("b", "a", "b")] == ["b", "a", "b"]
        if form == "queries":
            assert [payload["queries"] for _, payload in server.requests] == [["b", "a"]]
        else:
            assert sorted(payload["query"] for _, payload in server.requests) == ["a", "b"]
        assert server.requests[0][1]["topk"] == 3


@pytest.mark.parametrize(
    "answer",
    [
        {"results": [{"id": 1, "content": "t\nabout t", "score": 0.5}]},
        {"results": [{"document": {"title": "t", "text": "about t", "id": "1"}, "score": 1}]},
        {"result": [document("t")]},
        {"result": [[document("t")]]},
        [document("t")],
        {"results": [document("t")] * 9},
    ],
)
def test_one_query_answers_in_the_wild(answer: object) -> None:
    with fake(lambda path, payload: (200, answer)) as server:
        assert client(f"{server.url}/retrieve", "query").search("q")[0] == Document("1", "t\nabout t")
        assert len(client(f"{server.url}/retrieve", "query").search("q")) <= 3


def test_a_foreign_servers_pages_are_sought_among_its_results() -> None:
    def answer(path: str, payload: Any) -> tuple[int, object]:
        if path == "/page":
            return 404, {"detail": "Not Found"}
        return 200, {"result": [[document("Rimol town", "7"), document('"Rimol"', "8")]]}

    with fake(answer) as server:
        page = client(f"{server.url}/retrieve").page("rimol")
        assert page is not None
        assert page.id == "8"
        assert client(f"{server.url}/retrieve").page("Zulet") is None


@pytest.mark.parametrize("form", FORMS)
def test_connections_are_used_again_by_all_clients_of_a_process(form: Form) -> None:
    with fake(found, keeps=True) as server:
        retrievers = [client(f"{server.url}/retrieve", form) for _ in range(2)]
        for query in "abcdef":
            for retriever in retrievers:
                assert retriever.search(query)[0].title == query
        assert (len(server.requests), server.connections) == (12, 1)


def test_a_round_of_single_queries_is_a_few_requests_at_a_time() -> None:
    """Each of twenty takes .1 s: together they take longer than two, and less than half as long as one after the other."""
    under_way, most, lock = 0, 0, threading.Lock()

    def slow(path: str, payload: Any) -> tuple[int, object]:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.1)
        with lock:
            under_way -= 1
        return found(path, payload)

    with fake(slow, keeps=True) as server:
        retriever = client(f"{server.url}/retrieve", "query")
        for query in "abcdefghijklmnopqrst":
            retriever.expect(query)
        assert [retriever.search(query)[0].title for query in "abcdefghijklmnopqrst"] == list("abcdefghijklmnopqrst")
        assert 1 < most <= 8
        assert server.connections <= 8


def test_a_connection_that_the_server_closed_is_no_failure() -> None:
    """It says that it keeps the connection, and closes it after every answer."""

    def closing(path: str, payload: Any) -> tuple[int, object]:
        threading.Timer(0.05, server.close_all).start()
        return found(path, payload)

    with fake(closing, keeps=True) as server:
        retriever = client(f"{server.url}/retrieve", retries=0)
        for query in "abc":
            assert retriever.search(query)[0].title == query
            time.sleep(0.2)
        assert server.connections == 3


def test_no_request_begins_after_the_rounds_time(stop: threading.Event) -> None:
    """Two tries of .2 s, with a pause of .1 s between: a round of forty single queries, of which each takes .15 s, may begin
    requests for .5 s. The rest fail at once."""

    def slow(path: str, payload: Any) -> tuple[int, object]:
        stop.wait(0.15)
        return found(path, payload)

    with fake(slow, keeps=True) as server:
        retriever = client(f"{server.url}/retrieve", "query", retries=1, timeout_s=0.2, backoff_s=0.1)
        queries = [str(number) for number in range(80)]
        for query in queries:
            retriever.expect(query)
        failures = []
        for query in queries:
            try:
                retriever.search(query)
            except ServerSilent as failure:
                failures.append(str(failure))
        assert failures
        assert all("whole round" in words or "within 0.2 s" in words or "silent" in words for words in failures)
        assert len(server.requests) < 80
        stop.set()


# -------------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("status", [500, 503, 429])
def test_errors_that_pass_are_tried_again(form: Form, status: int) -> None:
    def answer(path: str, payload: Any) -> tuple[int, object]:
        return found(path, payload) if len(server.requests) > 2 else (status, b"busy")

    with fake(answer) as server:
        assert client(f"{server.url}/retrieve", form).search("a")[0].title == "a"
        assert len(server.requests) == 3


def endless() -> Iterator[bytes]:
    for _ in range(1600):
        yield b"x" * 65536


FAULTS: list[tuple[Answer, int, str]] = [
    (lambda path, payload: (500, b"broken " * 99), 3, r"500.*'broken broken "),
    (lambda path, payload: (200, b"<html>proxy</html>"), 3, r"no JSON.*'<html>proxy</html>'"),
    (lambda path, payload: (200, b"\xff\xfe\x00"), 3, r"no JSON"),
    (lambda path, payload: (200, b"[" * 50_000), 3, r"no JSON"),
    (lambda path, payload: (400, b"bad request"), 1, r"400.*'bad request'"),
    (lambda path, payload: (401, b""), 1, r"401"),
    (lambda path, payload: (200, endless()), 1, r"100000 bytes"),
    (lambda path, payload: (200, b"x" * 100_001), 1, r"100000 bytes"),
    (lambda path, payload: (200, {"rows": []}), 1, r'list of documents|"result"'),
    (lambda path, payload: (200, {"result": [[3]], "results": [3]}), 1, r"no object"),
    (lambda path, payload: (200, {"result": [[{"id": "1"}]], "results": [{"id": "1"}]}), 1, r"contents"),
    (lambda path, payload: (200, {"result": [[document("\ud800")]], "results": [document("\ud800")]}), 1, r"Unicode"),
    (lambda path, payload: (200, 3), 1, r'list of documents|"result"'),
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("answer", "tries", "message"), FAULTS)
def test_what_is_no_answer_is_one_line(form: Form, answer: Answer, tries: int, message: str) -> None:
    with fake(answer) as server:
        with pytest.raises(ServerRefused, match=message) as caught:
            client(f"{server.url}/retrieve", form).search("a")
        assert len(server.requests) == tries
        (line,) = str(caught.value).splitlines()
        assert f"{server.url}/retrieve" in line
        assert ("(3 tries)" in line) == (tries == 3)
        assert REMEDY in line


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    """Set at the test's end: servers that hang let go."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize("form", FORMS)
def test_a_server_that_hangs_is_given_up_once_for_all(form: Form, stop: threading.Event) -> None:
    def hang(path: str, payload: Any) -> tuple[int, object]:
        stop.wait(20)
        return 200, b"{}"

    with fake(hang) as server:
        retriever = client(f"{server.url}/retrieve", form, retries=1, timeout_s=0.3)
        with pytest.raises(ServerSilent, match=r"0\.3 s \(2 tries\).*python -m"):
            retriever.search("a")
        asked = len(server.requests)
        for query in "bcdefgh":
            retriever.expect(query)
        for query in "bcdefgh":  # a round soon after is not made to wait
            with pytest.raises(ServerSilent, match=r"silent.*python -m"):
                retriever.search(query)
        assert len(server.requests) == asked == 2
        stop.set()


def drops(stop: threading.Event, drop: bytes) -> Iterator[bytes]:
    return (drop for _ in iter(lambda: stop.wait(0.05), True))


def test_a_server_that_drips_its_answer_is_too_slow(stop: threading.Event) -> None:
    with fake(lambda path, payload: (200, drops(stop, b" "))) as server:
        with pytest.raises(ServerSilent, match=r"0\.3 s"):
            client(f"{server.url}/retrieve", retries=0, timeout_s=0.3).search("a")
        stop.set()


def test_a_server_that_drips_its_header_is_too_slow(stop: threading.Event) -> None:
    """Every read succeeds; it is their sum that is bounded."""
    with fake(found) as server:
        server.drip = chain([b"HTTP/1.1 200 OK\r\n"], islice(drops(stop, b"X-More: 1\r\n"), 100))
        start = time.monotonic()
        with pytest.raises(ServerSilent, match=r"0\.3 s"):
            client(f"{server.url}/retrieve", retries=0, timeout_s=0.3).search("a")
        assert time.monotonic() - start < 2
        stop.set()


def test_a_server_that_comes_back_is_used_again() -> None:
    with fake(lambda path, payload: (500, b"")) as server:
        retriever = client(f"{server.url}/retrieve", retries=2)
        for tries in (3, 4, 5):  # after the first failure a single try each
            with pytest.raises(ServerRefused):
                retriever.search("a")
            assert len(server.requests) == tries
        server.answer = found
        assert retriever.search("a")[0].title == "a"
        server.answer = lambda path, payload: (500, b"")
        with pytest.raises(ServerRefused):
            retriever.search("b")
        assert len(server.requests) == 6 + 3


def test_nobody_there() -> None:
    with fake(found) as server:
        url = f"{server.url}/retrieve"
    with pytest.raises(ServerSilent, match=r"\(3 tries\).*python -m"):
        client(url).search("a")


@pytest.mark.parametrize("answer", [(401, b""), (200, {"rows": []})])
def test_a_servers_password_is_in_no_failure(answer: tuple[int, object]) -> None:
    with fake(lambda path, payload: answer) as server:
        url = f"{server.url}/retrieve".replace("://", "://u:geheim@")
        with pytest.raises(ServerRefused, match=r"http://u:\*\*\*@") as refused:
            client(url, retries=0).search("a")
    with pytest.raises(ServerSilent, match=r"http://u:\*\*\*@") as silent:
        client(url, retries=0).search("a")
    assert "geheim" not in f"{refused.value} {silent.value}"


@pytest.mark.parametrize("url", ["http://a:port/retrieve", "localhost:8000/retrieve", "ftp://x/retrieve"])
def test_what_is_no_address_is_tried_once(url: str) -> None:
    """A second try would come after the pause, which is longer than any test may take."""
    with pytest.raises(ServerSilent, match=r"no address.*python -m"):
        client(url, backoff_s=1000.0).search("a")


def test_one_query_that_breaks_the_server_fails_alone() -> None:
    def picky(path: str, payload: Any) -> tuple[int, object]:
        return (500, b"poison") if "poison" in payload["queries"] else found(path, payload)

    with fake(picky) as server:
        retriever = client(f"{server.url}/retrieve")
        for query in ("a", "poison", "b"):
            retriever.expect(query)
        assert [retriever.search(query)[0].title for query in ("a", "b")] == ["a", "b"]
        with pytest.raises(ServerRefused, match="500 'poison'"):
            retriever.search("poison")


# ------------------------------------------------------------------------------------------------- through the platform


def episodes(
    root: Path, url: str, says: Callable[[int, int], str], count: int = 3, heard: Callable[[int], None] = lambda _: None
) -> list[StopReason]:
    """Play ``count`` episodes of the one question over the server; their ends."""
    retrieval = RetrievalSettings(
        backend="remote", url=url, collection="four pages", timeout_s=5.0, retries=1, backoff_s=0.01
    )
    benchmark, folder = benchmark_of(DeepsearchConfig(retrieval=retrieval), real(root)), root.parent / "data" / "empty"
    task = benchmark.panels(folder)["train"].tasks[0]
    pool = EnvironmentPool(benchmark, folder, workers=1, attempts=2, timeout_s=60)
    try:
        specs = [EpisodeSpec(task, i, 0, i) for i in range(count)]
        played = require_one_alive(
            [play(ScriptedSampler(says, heard), pool, benchmark, specs, SamplingSettings(1.0, 8))]
        )
        return [trajectory.stop_reason for trajectory in played]
    finally:
        pool.close()


def test_a_pools_round_is_one_request(four_pages: Path) -> None:
    def says(episode: int, number: int) -> str:
        return f"<search>query {episode % 3}</search>" if number <= 2 else "<answer>Rimol</answer>"

    with fake(found) as server:
        assert episodes(four_pages, f"{server.url}/retrieve", says, count=6) == [StopReason.SUCCESS] * 6
    assert [payload["queries"] for _, payload in server.requests] == [["query 0", "query 1", "query 2"]] * 2


def test_a_server_killed_midway_ends_the_episodes_that_ask_it(four_pages: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pipelines.environments.deepsearch.server",
        "--port",
        "0",
        "--cache",
        str(tmp_path),
    ]
    process = subprocess.Popen(
        [*command, "--corpus", str(four_pages / "wiki-18.jsonl")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        found = re.search(r"serving 4 documents at (http://127\.0\.0\.1:\d+/retrieve)", process.stdout.readline())
        assert found is not None

        def heard(number: int) -> None:
            if number == 2:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()

        def says(episode: int, number: int) -> str:
            return "<search>Zulet</search>" if number == 1 or episode < 2 else "<answer>Rimol</answer>"

        ends = episodes(four_pages, found[1], says, 3, heard)
        assert ends == [StopReason.ENVIRONMENT_ERROR, StopReason.ENVIRONMENT_ERROR, StopReason.SUCCESS]
    finally:
        process.kill()
        process.wait()


def test_when_the_server_was_never_there_the_stage_says_so(four_pages: Path) -> None:
    with pytest.raises(EnvironmentFailure, match=r"all 3 episodes.*http://127.0.0.1:9/retrieve"):
        episodes(four_pages, "http://127.0.0.1:9/retrieve", lambda episode, number: "<search>x</search>")


def test_an_invalid_message_asks_nobody(four_pages: Path) -> None:
    def says(episode: int, number: int) -> str:
        return "<search><answer>x</answer></search>" if number == 1 else "<answer>Rimol</answer>"

    assert episodes(four_pages, "http://127.0.0.1:9/retrieve", says) == [StopReason.SUCCESS] * 3


# ---------------------------------------------------------------------------------------------------- the command line


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    assert "POST /retrieve" in capsys.readouterr().out
    assert main(["--corpus", str(tmp_path / "none.jsonl"), "--cache", str(tmp_path / "cache")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "none.jsonl") in line
    broken = write_rows(tmp_path / "broken.jsonl", {"id": "1"})
    assert main(["--corpus", str(broken), "--cache", str(tmp_path / "cache")]) == 1
    assert "broken.jsonl, line 1" in capsys.readouterr().err
