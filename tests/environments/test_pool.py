"""The pool: crashes are replayed unseen, a hopeless environment ends its own episode only."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pipelines.environments.alfworld.benchmark import AlfworldBenchmark
from pipelines.environments.pool import EnvironmentPool
from pipelines.errors import EnvironmentFailure, MachineFailure, StoreFull
from pipelines.protocols import Outcome
from pipelines.records import Task
from tests.environments.fake import MACHINE_FAULTS, CountDownBenchmark, ForkingCountDown, task

Script = Sequence[str]


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[EnvironmentPool]:
    made = EnvironmentPool(CountDownBenchmark(), tmp_path, workers=2, attempts=2, timeout_s=30)
    yield made
    made.close()


def play(
    pool: EnvironmentPool, tasks: Sequence[Task], scripts: Sequence[Script]
) -> list[list[Outcome] | EnvironmentFailure]:
    async def episode(i: int) -> list[Outcome] | EnvironmentFailure:
        try:
            await pool.reset(i)
            return [(await pool.step(i, action)).answer for action in scripts[i]]
        except EnvironmentFailure as failure:
            return failure
        finally:
            pool.leave(i)

    async def everyone() -> list[list[Outcome] | EnvironmentFailure]:
        return await asyncio.gather(*(episode(i) for i in range(len(tasks))))

    pool.open(tasks)
    return asyncio.run(everyone())


def texts(outcomes: list[Outcome] | EnvironmentFailure) -> list[str]:
    assert isinstance(outcomes, list)
    return [outcome.observation.text for outcome in outcomes]


def test_episodes_of_different_lengths(pool: EnvironmentPool) -> None:
    tasks = [task(str(i), i + 1) for i in range(5)]
    played = play(pool, tasks, [["down"] * (i + 1) for i in range(5)])
    assert [texts(p)[-1] for p in played] == ["0 left"] * 5
    assert all(isinstance(p, list) and p[-1].success for p in played)
    assert [pool.attempts(i) for i in range(5)] == [1] * 5
    again = play(pool, tasks[:2], [["stay"], ["down", "bad"]])
    assert [texts(p) for p in again] == [["1 left"], ["1 left", "1 left"]]


def test_replays_of_different_lengths_are_one_round_and_survive_a_crash(pool: EnvironmentPool) -> None:
    """The first dies while it replays, and is replayed again; the last, which replays nothing, waits for nobody after that."""
    tasks, actions = [task("a-once", 5), task("b", 3), task("c", 2)], [["down", "die", "down"], ["down"], []]

    async def episode(i: int) -> list[str]:
        replies = await pool.replay(i, actions[i])
        last = await pool.step(i, "down")
        pool.leave(i)
        shown = [replies[0].answer, *(reply.answer.observation for reply in replies[1:]), last.answer.observation]
        states = [*(reply.state for reply in replies), last.state]
        assert [observation.text for observation in shown] == [f"{state} left" for state in states]
        return states

    async def everyone() -> list[list[str]]:
        return await asyncio.gather(*map(episode, range(3)))

    pool.open(tasks)
    assert asyncio.run(everyone()) == [["5", "4", "4", "3", "2"], ["3", "2", "1"], ["2", "1"]]
    assert pool.attempts(0) == 2


@pytest.mark.parametrize("fault", ["die", "raise", "hang"])
def test_a_crash_is_replayed_and_nobody_notices(pool: EnvironmentPool, fault: str) -> None:
    if fault == "hang":
        pool._timeout_s = 8
    tasks = [task("a", 4), task("b-once", 4), task("c", 4), task("d", 4)]
    calm = ["down", "down", "stay", "down"]
    played = play(pool, tasks, [calm, ["down", fault, "down", "down"], calm, calm])
    assert texts(played[1]) == ["3 left", "3 left", "2 left", "1 left"]
    assert [texts(played[i]) for i in (0, 2, 3)] == [["3 left", "2 left", "2 left", "1 left"]] * 3
    assert pool.attempts(1) == 2


@pytest.mark.parametrize("fault", ["die", "raise"])
def test_a_hopeless_environment_ends_its_own_episode_only(pool: EnvironmentPool, fault: str) -> None:
    tasks = [task("a", 3), task("bad", 3), task("c", 3), task("d", 3)]
    calm = ["down", "down", "down"]
    played = play(pool, tasks, [calm, ["down", fault, "down"], calm, calm])
    assert isinstance(played[1], EnvironmentFailure)
    assert "bad failed 2 times" in str(played[1])
    assert [texts(played[i])[-1] for i in (0, 2, 3)] == ["0 left"] * 3


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_raising_environment_is_tried_as_often_as_configured(tmp_path: Path, attempts: int) -> None:
    pool = EnvironmentPool(CountDownBenchmark(), tmp_path, workers=1, attempts=attempts)
    try:
        (played,) = play(pool, [task("bad", 3)], [["raise"]])
        assert isinstance(played, EnvironmentFailure)
        assert f"bad failed {attempts} times: ValueError: broken on purpose" in str(played)
        assert pool.attempts(0) == attempts
    finally:
        pool.close()


@pytest.mark.parametrize("fault", MACHINE_FAULTS)
def test_a_fault_of_the_machine_is_not_the_episodes_failure(pool: EnvironmentPool, fault: str) -> None:
    expected = StoreFull if fault in ("fill the disk", "spend the quota") else MachineFailure
    with pytest.raises(expected, match=r"while playing countdown .*launch again"):
        play(pool, [task("a", 3)], [["down", fault]])
    assert pool.attempts(0) == 1
    assert texts(play(pool, [task("a", 3)], [["down"]])[0]) == ["2 left"]


def test_a_worker_killed_from_outside(alfworld: AlfworldBenchmark, games: Path) -> None:
    tasks = alfworld.panels(games)["train"].tasks[:4]
    scripts = [json_walkthrough(games / t.source) for t in tasks]
    pool = EnvironmentPool(alfworld, games, workers=2, attempts=2)
    try:
        calm = play(pool, tasks, scripts)
        pool.open(tasks)

        async def episode(i: int) -> list[Outcome]:
            await pool.reset(i)
            outcomes = []
            for turn, action in enumerate(scripts[i]):
                if i == 0 and turn == 2:
                    os.kill(pool.worker_pids()[0], signal.SIGKILL)
                outcomes.append((await pool.step(i, action)).answer)
            pool.leave(i)
            return outcomes

        async def everyone() -> list[list[Outcome]]:
            return await asyncio.gather(*(episode(i) for i in range(len(tasks))))

        assert asyncio.run(everyone()) == calm
        assert pool.attempts(0) == 2
        assert pool.attempts(1) == 1
    finally:
        pool.close()


def json_walkthrough(game: Path) -> list[str]:
    import json

    return list(json.loads(game.read_text())["walkthrough"])


class ForkingBenchmark(CountDownBenchmark):
    def environment(self, task: Task, folder: Path) -> ForkingCountDown:
        return ForkingCountDown(task, folder)


def test_episodes_that_begin_alike_are_begun_once_and_go_their_own_ways(tmp_path: Path) -> None:
    """Of one task, behind equal prefixes. What lost its worker is begun anew."""
    scripts = [["down"], ["down", "down"], ["stay"], ["die", "down"], ["down"]]
    prefixes = [["down"], ["down"], ["down"], ["down"], []]

    async def episode(i: int) -> list[str]:
        replies = await pool.replay(i, prefixes[i])
        replies += [await pool.step(i, action) for action in scripts[i]]
        pool.leave(i)
        return [reply.state for reply in replies]

    async def everyone() -> list[list[str]]:
        return await asyncio.gather(*map(episode, range(5)))

    pool = EnvironmentPool(ForkingBenchmark(), tmp_path, workers=1, attempts=2, timeout_s=30)
    try:
        pool.open([task("once", 4)] * 5)
        played = asyncio.run(everyone())
    finally:
        pool.close()
    assert played == [["4", "3", "2"], ["4", "3", "2", "1"], ["4", "3", "3"], ["4", "3", "3", "2"], ["4", "3"]]
    assert (tmp_path / "begun").read_text().split()[:2] == ["once"] * 2
    assert len((tmp_path / "begun").read_text().split()) == 2 + 5


def test_workers_end_with_their_pipe(pool: EnvironmentPool) -> None:
    pids = pool.worker_pids()
    pool.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_replies_hold_the_state_that_the_engine_is_in_also_after_a_replay(pool: EnvironmentPool) -> None:
    async def episode(i: int, script: Script) -> list[str]:
        start = await pool.reset(i)
        keys = [start.state, *[(await pool.step(i, action)).state for action in script]]
        pool.leave(i)
        return keys

    async def both() -> list[list[str]]:
        return await asyncio.gather(episode(0, ["down", "die", "down"]), episode(1, ["stay", "down", "down"]))

    pool.open([task("once", 3), task("calm", 3)])
    assert asyncio.run(both()) == [["3", "2", "2", "1"], ["3", "3", "2", "1"]]
    assert pool.attempts(0) == 2
