"""The judge: any OpenAI-compatible server, asked once a round, and only where exact match says no."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.environments.deepsearch.config import DeepsearchConfig, JudgeSettings
from pipelines.environments.deepsearch.json_client import ServerRefused
from pipelines.environments.deepsearch.judge import LanguageModelJudge
from pipelines.environments.deepsearch.questions import Question
from pipelines.errors import EnvironmentFailure
from pipelines.protocols import Outcome
from tests.environments.deepsearch.conftest import benchmark_of, real
from tests.environments.deepsearch.servers import fake

ASKED = Question("q1", "Where?", ("Rimol", "the town of Rimol"))


def says(text: object, **more: object) -> dict[str, object]:
    return {"choices": [{"message": {"role": "assistant", "content": text}, **more}]}


def grade(path: str, payload: Any) -> tuple[int, object]:
    """Correct is what mentions a hill."""
    return 200, says(
        "CORRECT" if "on a hill" in payload["messages"][0]["content"].split("Answer to grade:")[1] else "Incorrect."
    )


def settings(url: str, **values: Any) -> JudgeSettings:
    return JudgeSettings(url=f"{url}/v1", model="judge-7b", timeout_s=5.0, retries=1, backoff_s=0.01, **values)


def answered(root: Path, url: str, answer: str) -> Outcome:
    benchmark = benchmark_of(DeepsearchConfig(reward="judge", judge=settings(url)), real(root))
    folder = root.parent / "data" / "empty"
    environment = benchmark.environment(benchmark.panels(folder)["train"].tasks[0], folder)
    environment.reset()
    return environment.step(f"<answer>{answer}</answer>")


def test_the_judges_word_is_the_reward_and_f1_the_score(four_pages: Path) -> None:
    with fake(grade) as server:
        right = answered(four_pages, server.url, "Rimol, on a hill")
        wrong = answered(four_pages, server.url, "in Rimol or so")
        assert (right.success, right.reward, right.done, right.valid) == (True, 1.0, True, True)
        assert (wrong.success, wrong.reward, wrong.done) == (False, 0.0, True)
        assert right.score == pytest.approx(2 / 4)  # "rimol" of "rimol on hill"
        assert len(server.requests) == 2
        assert answered(four_pages, server.url, "rimol").success
        assert len(server.requests) == 2  # an exact match needs no judge


def test_what_the_judge_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "secret")
    with fake(grade) as server:
        assert not LanguageModelJudge(settings(server.url, key_variable="JUDGE_KEY")).verdict(ASKED, "in the valley")
        ((path, payload),) = server.requests
        assert path == "/v1/chat/completions"
        assert (payload["model"], payload["temperature"]) == ("judge-7b", 0)
        text = payload["messages"][0]["content"]
        assert "Question: Where?" in text
        assert "Golden answers: Rimol; the town of Rimol" in text
        assert "Answer to grade: in the valley" in text
        assert server.headers[0]["Authorization"] == "Bearer secret"


def test_a_rounds_verdicts_are_asked_together() -> None:
    with fake(grade) as server:
        judge = LanguageModelJudge(settings(server.url))
        answers = [f"answer {i}" for i in range(5)] + ["on a hill"]
        for answer in answers:
            judge.expect(ASKED, answer)
        assert server.requests == []
        assert not judge.verdict(ASKED, answers[0])
        assert len(server.requests) == 6
        assert [judge.verdict(ASKED, answer) for answer in answers[1:]] == [False] * 4 + [True]
        assert len(server.requests) == 6


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("CORRECT", True),
        ("incorrect", False),
        ("**Incorrect**", False),
        ("\n`Correct.` \n", True),
        ("INCORRECT\n\nA correct answer would be Paris.", False),
        ("<think>It is not CORRECT.</think>Could be. </think>\n\nCORRECT", True),
    ],
)
def test_verdicts(reply: str, verdict: bool) -> None:
    with fake(lambda path, payload: (200, says(reply))) as server:
        assert LanguageModelJudge(settings(server.url)).verdict(ASKED, "x") == verdict


@pytest.mark.parametrize(
    "reply",
    [
        "INCORRECT. A correct answer would be Paris.",
        "Not correct.",
        "The answer is wrong; the correct one is Paris",
        "It is not INCORRECT; so: CORRECT.",
        "<think>If it were Paris, it would be CORRECT",
        "<think>\nCORRECT",
        None,
    ],
)
def test_a_sentence_about_correctness_is_no_verdict(reply: str | None) -> None:
    with (
        fake(lambda path, payload: (200, says(reply, finish_reason="stop"))) as server,
        pytest.raises(ServerRefused, match="CORRECT nor INCORRECT"),
    ):
        LanguageModelJudge(settings(server.url)).verdict(ASKED, "x")


def test_a_reply_that_was_cut_is_no_verdict() -> None:
    with (
        fake(lambda path, payload: (200, says("CORRECT", finish_reason="length"))) as server,
        pytest.raises(ServerRefused, match="cut after 2048 tokens"),
    ):
        LanguageModelJudge(settings(server.url)).verdict(ASKED, "x")


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, says("maybe"), "'maybe'"),
        (200, {"choices": []}, "without choices"),
        (200, [1], "without choices"),
        (200, b"oops", "no JSON.*'oops'"),
        (401, {"error": "key"}, "401"),
        (500, b"", r"500.*\(2 tries\)"),
    ],
)
def test_a_broken_judge_is_one_line(status: int, body: object, message: str) -> None:
    with fake(lambda path, payload: (status, body)) as server:
        with pytest.raises(EnvironmentFailure, match=message) as caught:
            LanguageModelJudge(settings(server.url)).verdict(ASKED, "x")
        (line,) = str(caught.value).splitlines()
        assert "benchmark.judge.url" in line
        assert "benchmark.reward=exact_match" in line
