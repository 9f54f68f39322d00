"""The conformance kit of a benchmark: what the stages rely on, checked on the fake and on every real one."""

from __future__ import annotations

import math
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import pytest

from pipelines.environments.base import Benchmark, Turn
from pipelines.protocols import Outcome
from pipelines.records import StopReason, Task
from tests.environments.in_process import Script, play_scripts


def play(benchmark: Benchmark, task: Task, folder: Path, actions: list[str]) -> list[object]:
    environment = benchmark.environment(task, folder)
    try:
        return [environment.reset(), *(environment.step(action) for action in actions)]
    finally:
        environment.close()


def walk(benchmark: Benchmark, task: Task, folder: Path, actions: list[str]) -> list[tuple[object, str]]:
    """What ``reset`` and every action answer, each with the key of the state after it. A key can cost more than a step."""
    environment = benchmark.environment(task, folder)
    try:
        walked: list[tuple[object, str]] = [(environment.reset(), environment.state_key())]
        for action in actions:
            walked.append((environment.step(action), environment.state_key()))
        return walked
    finally:
        environment.close()


def state_keys(benchmark: Benchmark, task: Task, folder: Path, actions: list[str]) -> list[str]:
    """The key after ``reset`` and after every action."""
    return [key for _, key in walk(benchmark, task, folder, actions)]


def noisy_actions(benchmark: Benchmark, task: Task, folder: Path, seed: int) -> list[str]:
    """What a mostly confused expert does, as long as it is understood."""
    turns = islice(benchmark.demonstration(task, folder, random.Random(seed), 0.7), 10)
    return [action for turn in turns if (action := benchmark.read_answer(turn.answer).action)]


@dataclass(frozen=True)
class Meeting:
    """Two plays that came to one state by different ways: the first one's way, what the second one did there, and what that
    gave: (answer, key) of each action."""

    way: list[str]
    key: str
    then: list[str]
    gave: list[tuple[object, str]]


def meetings(benchmark: Benchmark, task: Task, folder: Path) -> Iterator[Meeting]:
    """One for each state that is met again."""
    ways: dict[str, list[str]] = {}
    met = set[str]()
    for seed in range(12):
        actions = noisy_actions(benchmark, task, folder, seed)
        walked = walk(benchmark, task, folder, actions)
        for place, (_, key) in enumerate(walked):
            way = ways.setdefault(key, actions[:place])
            if way != actions[:place] and key not in met:
                met.add(key)
                yield Meeting(way, key, actions[place:], walked[place + 1 :])


_PRINT_KEYS = """
import pickle, sys
from tests.environments.conformance import state_keys
print("\\n".join(state_keys(*pickle.load(sys.stdin.buffer))))
"""


class BenchmarkConformance:
    """Subclass with fixtures ``benchmark`` and ``folder``. ``may_give_up``: an episode can end without success."""

    may_give_up = False

    def test_tasks_and_benchmark_travel_to_workers(self, benchmark: Benchmark, folder: Path) -> None:
        for panel in benchmark.panels(folder).values():
            assert pickle.loads(pickle.dumps(panel)) == panel
        pickle.dumps(benchmark)

    def test_panels_are_fixed(self, benchmark: Benchmark, folder: Path) -> None:
        first, second = benchmark.panels(folder), benchmark.panels(folder)
        assert first == second
        for panel in first.values():
            assert len({task.id for task in panel.tasks}) == len(panel.tasks)
            assert len(panel.sha256) == 64

    def test_an_environment_plays_one_episode(self, benchmark: Benchmark, folder: Path) -> None:
        environment = benchmark.environment(benchmark.panels(folder)["train"].tasks[0], folder)
        with pytest.raises(RuntimeError):
            environment.step("look")
        environment.reset()
        with pytest.raises(RuntimeError):
            environment.reset()
        environment.close()

    def test_a_replay_gives_the_same_transcript(self, benchmark: Benchmark, folder: Path) -> None:
        for task in benchmark.panels(folder)["train"].tasks[:3]:
            turns = list(benchmark.demonstration(task, folder, random.Random(3), 0.5))
            actions = [benchmark.read_answer(turn.answer).action for turn in turns]
            assert play(benchmark, task, folder, actions) == play(benchmark, task, folder, actions)

    def test_an_invalid_action_changes_nothing(self, benchmark: Benchmark, folder: Path) -> None:
        task = benchmark.panels(folder)["train"].tasks[0]
        environment = benchmark.environment(task, folder)
        before = environment.reset()
        for wrong in ("", "fly to the moon", "x" * 10_000, "<action>look</action>", "\x00\ufffd"):
            outcome = environment.step(wrong)
            assert not outcome.valid
            assert not outcome.done
            assert outcome.observation.admissible == before.admissible
        environment.close()

    def test_state_keys_are_short_and_a_function_of_the_play(self, benchmark: Benchmark, folder: Path) -> None:
        task = benchmark.panels(folder)["train"].tasks[0]
        with pytest.raises(RuntimeError):
            benchmark.environment(task, folder).state_key()
        actions = noisy_actions(benchmark, task, folder, 5)
        keys = state_keys(benchmark, task, folder, actions)
        again = walk(benchmark, task, folder, actions)
        assert keys == [key for _, key in again]
        assert play(benchmark, task, folder, actions) == [answer for answer, _ in again]  # asking changes nothing
        assert len(set(keys)) > 1
        assert all(0 < len(key) <= 32 for key in keys)

    def test_state_keys_are_the_same_in_another_process(self, benchmark: Benchmark, folder: Path) -> None:
        task = benchmark.panels(folder)["train"].tasks[0]
        play = (benchmark, task, folder, noisy_actions(benchmark, task, folder, 5))
        other = subprocess.run(
            [sys.executable, "-c", _PRINT_KEYS],
            input=pickle.dumps(play),
            capture_output=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": "77"},
        )
        assert other.stdout.decode().split() == state_keys(*play)

    def test_an_invalid_action_leaves_the_state_key(self, benchmark: Benchmark, folder: Path) -> None:
        task = benchmark.panels(folder)["train"].tasks[0]
        plays = (noisy_actions(benchmark, task, folder, seed) for seed in range(20))
        first = next(actions[0] for actions in plays if len(actions) > 1)
        *_, before, after = state_keys(benchmark, task, folder, [first, "fly to the moon"])
        assert before == after

    def test_equal_state_keys_are_followed_by_equal_answers(self, benchmark: Benchmark, folder: Path) -> None:
        tasks = benchmark.panels(folder)["train"].tasks[:3]
        found = [(task, meeting) for task in tasks for meeting in islice(meetings(benchmark, task, folder), 10)]
        assert found, "no two plays met: the test shows nothing"
        for task, meeting in found:
            (_, key), *gave = walk(benchmark, task, folder, [*meeting.way, *meeting.then])[len(meeting.way) :]
            assert (key, gave) == (meeting.key, meeting.gave)

    def test_the_expert_wins_and_its_outcomes_are_in_range(self, benchmark: Benchmark, folder: Path) -> None:
        for task in benchmark.panels(folder)["train"].tasks:
            turns = list(benchmark.demonstration(task, folder, random.Random(0), 0.0))
            outcomes = play(benchmark, task, folder, [benchmark.read_answer(t.answer).action for t in turns])[1:]
            for outcome in outcomes:
                assert isinstance(outcome, Outcome)
                assert outcome.valid
                assert 0 <= outcome.score <= 1
            assert isinstance(outcomes[-1], Outcome)
            assert outcomes[-1].success
            assert outcomes[-1].done
            assert outcomes[-1].score == 1

    def test_prompts_say_whether_they_continue(self, benchmark: Benchmark, folder: Path) -> None:
        turns: list[Turn] = []
        for turn in benchmark.demonstration(benchmark.panels(folder)["train"].tasks[0], folder, random.Random(0), 0.0):
            prompt = benchmark.prompt(turns, turn.observation)
            assert prompt.messages
            assert all(message.content for message in prompt.messages)
            assert not (prompt.continues and not turns)
            turns.append(turn)

    def test_success_is_worth_more_than_failure(self, benchmark: Benchmark) -> None:
        failed = benchmark.outcome_reward(success=False, score=0.0)
        assert failed == 0
        assert benchmark.outcome_reward(success=True, score=1.0) > failed
        assert benchmark.invalid_penalty > 0

    def test_the_steps_rewards_sum_to_the_episodes_whatever_ended_it(self, benchmark: Benchmark, folder: Path) -> None:
        """Within 1e-9; and every step begins in the state that the one before it left."""
        tasks = benchmark.panels(folder)["train"].tasks
        demonstrations = [(tasks[0], 0, 0.0), *((tasks[i % len(tasks)], i, 0.7) for i in range(12))]
        scripts = [
            Script(
                task,
                [turn.answer for turn in islice(benchmark.demonstration(task, folder, random.Random(seed), noise), 60)],
            )
            for task, seed, noise in demonstrations
        ]
        expert = scripts[0].answers
        mumbled = [answer for one in expert for answer in ("mumble", one)]
        scripts += [
            Script(tasks[0], mumbled),
            Script(tasks[0], []),
            *(Script(tasks[0], mumbled, dies_at=n) for n in (0, 1, 3)),
        ]
        played = play_scripts(benchmark, folder, scripts)
        longest = sum(len(step.prompt_ids) + len(step.action_ids) for step in played[0].steps)
        for room in (1, longest // 2, longest - 1):
            played += play_scripts(benchmark, folder, scripts[:1], context_length=room)
        for t in played:
            assert t.reward == t.outcome - benchmark.invalid_penalty * sum(not step.valid for step in t.steps)
            assert math.fsum(step.shaped_reward for step in t.steps) == pytest.approx(t.reward, abs=1e-9, rel=0)
            assert all(a.state_after == b.state_before for a, b in pairwise(t.steps))
        assert [i for i, t in enumerate(played) if not t.first_observation] == [
            len(demonstrations) + 2
        ]  # never started
        assert any(t.success and any(not step.valid for step in t.steps) for t in played)
        ends = {t.stop_reason for t in played}
        assert ends == set(StopReason) - (set() if self.may_give_up else {StopReason.DONE})
