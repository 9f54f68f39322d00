"""Episodes of a sampler that answers in rounds: Ctrl-C is heard at once, and a dead machine is not a bad sampler."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from pipelines.environments.pool import EnvironmentPool
from pipelines.errors import ConfigError, EnvironmentFailure, StoreFull
from pipelines.protocols import Generation, GenerationRequest, Message, SamplingSettings
from pipelines.records import StopReason, Task, Trajectory, Verdict
from pipelines.rounds import Rounds
from pipelines.stages.episodes import EpisodeSpec, play, require_one_alive
from tests.environments.fake import CountDownBenchmark, task

Rows = Sequence[tuple[int, GenerationRequest]]


class Codec:
    end_of_message = 0
    ends = frozenset({0})

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode()

    def chat_prompt(self, messages: Sequence[Message], *, continues: bool) -> list[int]:
        return self.encode(messages[0].content)


class ScriptedSampler:
    """``says(episode, round)``; ``heard`` is called before a round is answered."""

    def __init__(self, says: Callable[[int, int], str], heard: Callable[[int], None] = lambda number: None) -> None:
        self.codec, self.context_length, self.rounds = Codec(), 10**9, 0
        self._says, self._heard = says, heard
        self._rounds: Rounds[GenerationRequest, Generation] = Rounds(self._answer)

    def open_rollout(self, episodes: int) -> None:
        self._rounds.open(episodes)

    def close_episode(self, episode: int) -> None:
        self._rounds.leave(episode)

    async def generate(self, request: GenerationRequest) -> Generation:
        return await self._rounds.ask(request.episode, request)

    def _answer(self, rows: Rows) -> list[Generation]:
        self.rounds += 1
        self._heard(self.rounds)
        return [self._generation(self._says(episode, self.rounds)) for episode, _ in rows]

    def _generation(self, text: str) -> Generation:
        ids = np.asarray(self.codec.encode(text), dtype=np.int32)
        zeros = np.zeros(len(ids), dtype=np.float32)
        return Generation(ids, zeros, zeros, text.strip("\0"))

    def measurements(self) -> dict[str, float]:
        return {}

    def close(self) -> None: ...


class EndlessBenchmark(CountDownBenchmark):
    max_steps = 10**9


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[EnvironmentPool]:
    made = EnvironmentPool(CountDownBenchmark(), tmp_path, workers=2, attempts=2, timeout_s=20)
    yield made
    made.close()


def played(
    sampler: ScriptedSampler,
    pool: EnvironmentPool,
    tasks: Sequence[Task],
    on_step: Callable[[], None] = lambda: None,
    max_context_tokens: int | None = None,
) -> list[Trajectory]:
    specs = [EpisodeSpec(task, i, 0, i) for i, task in enumerate(tasks)]
    settings = SamplingSettings(1.0, 8, max_context_tokens)
    return require_one_alive([play(sampler, pool, EndlessBenchmark(), specs, settings, on_step)])


TASKS = [task(str(i), 3) for i in range(5)]


def assert_usable_again(pool: EnvironmentPool, sampler: ScriptedSampler) -> None:
    sampler._says = lambda episode, number: "down"
    assert [t.stop_reason for t in played(sampler, pool, TASKS)] == [StopReason.SUCCESS] * 5


def test_no_more_episodes_go_beside_each_other_than_is_said(pool: EnvironmentPool) -> None:
    """Five of three actions each, two at once: three parts of three rounds, with the rows 2, 2 and 1; the same episodes as all at
    once, in their order, each with its own dice."""
    rows = list[int]()

    class Counting(ScriptedSampler):
        def _answer(self, asked: Rows) -> list[Generation]:
            rows.append(len(asked))
            return super()._answer(asked)

    specs = [EpisodeSpec(task, i, 7, i) for i, task in enumerate(TASKS)]
    sampling = SamplingSettings(1.0, 8, None)
    both = []
    for at_once in (2, None):
        sampler = Counting(lambda episode, number: "down")
        both.append(play(sampler, pool, EndlessBenchmark(), specs, sampling, at_once=at_once).trajectories)
    assert rows == [2] * 6 + [1] * 3 + [5] * 3
    parts, whole = ([(t.task.id, t.group, t.member, len(t.steps), t.success) for t in one] for one in both)
    assert parts == whole == [(str(i), i, 7, 3, True) for i in range(5)]


def test_a_context_that_is_too_long_ends_its_episode(pool: EnvironmentPool) -> None:
    """Three actions win. The context before the second holds the first prompt, the first action and the second prompt."""
    sampler = ScriptedSampler(lambda episode, number: "down")
    (whole,) = played(sampler, pool, TASKS[:1])
    before = [len(step.prompt_ids) + len(step.action_ids) for step in whole.steps]
    second = before[0] + len(whole.steps[1].prompt_ids)
    (cut,) = played(sampler, pool, TASKS[:1], max_context_tokens=second)
    assert (len(cut.steps), cut.stop_reason, cut.success) == (2, StopReason.CONTEXT_FULL, False)
    (cut,) = played(sampler, pool, TASKS[:1], max_context_tokens=second - 1)
    assert (len(cut.steps), cut.stop_reason) == (1, StopReason.CONTEXT_FULL)


def test_a_first_prompt_that_fits_no_episode_ends_the_stage(pool: EnvironmentPool) -> None:
    with pytest.raises(ConfigError, match="max_context_tokens"):
        played(ScriptedSampler(lambda episode, number: "down"), pool, TASKS, max_context_tokens=1)


def test_what_became_of_an_answer_is_recorded_by_its_reason(pool: EnvironmentPool) -> None:
    """Tokens are bytes, at most eight, and byte 0 ends a message. An empty answer is none that can be read."""
    answers = ["\0down", "sideways", "\0", "backward"[:7] + "\0", "down", "down"]
    sampler = ScriptedSampler(lambda episode, number: answers[number - 1])
    (episode,) = played(sampler, pool, TASKS[:1])
    admitted, unparsed, not_admitted = Verdict.ADMITTED, Verdict.UNPARSED, Verdict.INADMISSIBLE
    assert [(step.verdict, step.cut) for step in episode.steps] == [
        (admitted, False), (not_admitted, True), (unparsed, False), (not_admitted, False), (admitted, False), (admitted, False),
    ]  # fmt: skip
    assert [step.valid for step in episode.steps] == [step.verdict is admitted for step in episode.steps]


@pytest.mark.parametrize("step", [None, 1, 2, 3, 4, 5])
def test_ctrl_c_ends_a_rollout(pool: EnvironmentPool, step: int | None) -> None:
    """It comes while the sampler answers its third round, or after a step of an environment that follows."""
    steps = 0

    def heard(number: int) -> None:
        if step is None and number == 3:
            signal.raise_signal(signal.SIGINT)

    def on_step() -> None:
        nonlocal steps
        steps += 1
        if step is not None and steps == 2 * len(TASKS) + step:
            signal.raise_signal(signal.SIGINT)

    sampler = ScriptedSampler(lambda episode, number: "stay", heard)
    with pytest.raises(KeyboardInterrupt):
        played(sampler, pool, TASKS, on_step)
    assert sampler.rounds <= 3 + (step is not None)  # whose turn it was may go on to ask before the loop hears of it
    sampler._heard = lambda number: None
    assert_usable_again(pool, sampler)


def test_ctrl_c_from_outside_at_any_moment(pool: EnvironmentPool) -> None:
    for i in range(10):
        sampler = ScriptedSampler(lambda episode, number: "stay")
        timer = threading.Timer(0.05 + 0.0037 * i, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            played(sampler, pool, TASKS)
        assert_usable_again(pool, sampler)


def test_ctrl_c_comes_before_what_fails_because_of_it(pool: EnvironmentPool) -> None:
    def heard(number: int) -> None:
        if number == 2:
            signal.raise_signal(signal.SIGINT)
            raise ConnectionError("the server heard Ctrl-C, too")

    with pytest.raises(KeyboardInterrupt):
        played(ScriptedSampler(lambda episode, number: "stay", heard), pool, TASKS)


def test_other_errors_reach_the_caller_as_they_are(pool: EnvironmentPool) -> None:
    def heard(number: int) -> None:
        if number == 2:
            raise ConnectionError("no server")

    with pytest.raises(ConnectionError, match="no server"):
        played(ScriptedSampler(lambda episode, number: "stay", heard), pool, TASKS)


def test_one_broken_environment_ends_its_own_episode(pool: EnvironmentPool) -> None:
    sampler = ScriptedSampler(lambda episode, number: "raise" if episode == 1 else "down")
    reasons = [t.stop_reason for t in played(sampler, pool, TASKS)]
    assert reasons == [StopReason.SUCCESS, StopReason.ENVIRONMENT_ERROR, *[StopReason.SUCCESS] * 3]


@pytest.mark.parametrize("count", [1, 5])
def test_when_every_environment_fails_nothing_is_recorded(pool: EnvironmentPool, count: int) -> None:
    sampler = ScriptedSampler(lambda episode, number: "raise" if number == 2 else "stay")
    why = f"all {count} episodes failed; the first: environment of 0 failed 2 times: ValueError: broken on purpose"
    with pytest.raises(EnvironmentFailure, match=why):
        played(sampler, pool, TASKS[:count])


def test_a_full_disk_stops_the_stage(pool: EnvironmentPool) -> None:
    sampler = ScriptedSampler(lambda episode, number: "fill the disk" if episode == 1 and number == 2 else "stay")
    with pytest.raises(StoreFull, match="No space left on device"):
        played(sampler, pool, TASKS)
