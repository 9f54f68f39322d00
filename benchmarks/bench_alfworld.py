"""ALFWorld: the environment pool with one worker against the stock TextWorld environment, per core of CPU time.

Both play the same games with the same commands (random admissible ones, a third of them not admissible, as a weak policy
plays) and must say the same: texts, admissible commands, wins are hashed and compared. A step's time contains its share
of the episode's start. Every game was visited once before the clock runs, so the pool finds its translation in the cache;
the stock environment has none.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.games import make_games
from benchmarks.measure import Row, at_least, take_turns
from pipelines.environments.alfworld.config import AlfworldConfig, AlfworldGenerated
from pipelines.environments.base import Benchmark
from pipelines.environments.pool import EnvironmentPool
from pipelines.protocols import Observation
from pipelines.records import Task

TARGET, REPEATS = 10.0, 3
LAPTOP = AlfworldGenerated(train=12, valid_unseen=1)
WHOLE = AlfworldGenerated(train=6, valid_unseen=1, receptacles=0, object_types=0, max_instances=3)
LAPS = 8  # the pool plays everything so often per repeat, being short for a clock of 10 ms ticks
_BANNER = "-= Welcome to TextWorld, ALFRED! =-\n\n"
_TICKS = os.sysconf("SC_CLK_TCK")

Script = tuple[Task, list[str]]


def bench_alfworld() -> list[Row]:
    """One row per size of room: steps per CPU second of both, and whether the transcripts are identical."""
    return [
        _compare("ALFWorld episodes of 20 steps, laptop rooms", LAPTOP, 20),
        _compare("ALFWorld episodes of 50 steps, whole rooms", WHOLE, 50),
    ]


def _compare(name: str, data: AlfworldGenerated, steps: int) -> Row:
    with tempfile.TemporaryDirectory() as store:
        benchmark, folder = make_games(AlfworldConfig(max_steps=steps), data, Path(store))
        tasks = benchmark.panels(folder)["train"].tasks
        scripts = [_random_play(benchmark, task, folder, seed, steps) for seed, task in enumerate(tasks)]
        pool = EnvironmentPool(benchmark, folder, workers=1, attempts=1)
        try:
            return _measure(_Sides(pool, folder), scripts, name)
        finally:
            pool.close()


def _measure(sides: _Sides, scripts: Sequence[Script], name: str) -> Row:
    sides.stock(scripts[:1])  # imports, warm-up
    sides.pooled(scripts)
    pairs = take_turns(lambda: sides.stock(scripts), lambda: sides.pooled(scripts), REPEATS, name)
    starts: list[Script] = [(task, []) for task, _ in scripts]
    stock, pooled = (
        median(pair[side] for pair in pairs) - start
        for side, start in enumerate((sides.stock(starts), sides.pooled(starts)))
    )
    identical = all(len(texts) == 1 for texts in sides.said.values())
    played = sum(len(commands) for _, commands in scripts)
    note = f"steps alone, without the episodes' starts, {stock / pooled:.1f} times as fast"
    return at_least(name, pairs, TARGET, "steps/CPU s", amount=played, identical=identical, note=note)


class _Sides:
    """CPU seconds of the two for the same play. ``said``: digests of all they said, by play."""

    def __init__(self, pool: EnvironmentPool, folder: Path) -> None:
        self._pool, self._folder, self._environment = pool, folder, _stock_environment()
        self.said: dict[str, set[str]] = {}

    def stock(self, scripts: Sequence[Script]) -> float:
        start = time.process_time()
        self._note(scripts, _stock(self._environment, self._folder, scripts))
        return time.process_time() - start

    def pooled(self, scripts: Sequence[Script]) -> float:
        start = time.process_time() + _cpu_seconds(self._pool)
        for _ in range(LAPS):
            self._note(scripts, _pooled(self._pool, scripts))
        return (time.process_time() + _cpu_seconds(self._pool) - start) / LAPS

    def _note(self, scripts: Sequence[Script], digest: str) -> None:
        play = repr([(task.id, commands) for task, commands in scripts])
        self.said.setdefault(play, set()).add(digest)


def _random_play(benchmark: Benchmark, task: Task, folder: Path, seed: int, steps: int) -> Script:
    """Commands to play, and thereby the first visit of the game."""
    rng, commands = random.Random(seed), []
    environment = benchmark.environment(task, folder)
    observation = environment.reset()
    for _ in range(steps):
        kind = rng.random()
        commands.append("take moon 1 from desk 1" if kind < 1 / 3 else rng.choice(observation.admissible))
        outcome = environment.step(commands[-1])
        if outcome.done:
            break
        observation = outcome.observation
    environment.close()
    return task, commands


# ----------------------------------------------------------------------------------------------------------- the two


def _stock_environment() -> Any:
    """One environment for all games: each new one maps another 34 MB library for good."""
    import textworld
    from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
    from textworld.envs import PddlEnv

    return AlfredDemangler(PddlEnv(textworld.EnvInfos(won=True, admissible_commands=True)), shuffle=False)


def _stock(environment: Any, folder: Path, scripts: Sequence[Script]) -> str:
    said = []
    for task, commands in scripts:
        environment.load(str(folder / task.source))
        state = environment.reset()
        said.append([_line(state["feedback"], state["admissible_commands"], 0, False)])
        for command in commands:
            state, reward, done = environment.step(command)
            said[-1].append(_line(state["feedback"], state["admissible_commands"], reward, done))
    return _digest(said)


def _pooled(pool: EnvironmentPool, scripts: Sequence[Script]) -> str:
    async def episode(number: int, commands: list[str]) -> list[str]:
        said = [_observed((await pool.reset(number)).answer, 0, False)]
        for command in commands:
            outcome = (await pool.step(number, command)).answer
            said.append(_observed(outcome.observation, outcome.reward, outcome.done))
        pool.leave(number)
        return said

    async def everyone() -> list[list[str]]:
        return await asyncio.gather(*(episode(i, commands) for i, (_, commands) in enumerate(scripts)))

    pool.open([task for task, _ in scripts])
    return _digest(asyncio.run(everyone()))


def _observed(observation: Observation, reward: float, done: bool) -> str:
    return _line(observation.text, observation.admissible, reward, done)


def _line(text: str, admissible: Sequence[str], reward: float, done: bool) -> str:
    return json.dumps([text.removeprefix(_BANNER).strip(), list(admissible), float(reward), bool(done)])


def _digest(said: list[list[str]]) -> str:
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _cpu_seconds(pool: EnvironmentPool) -> float:
    """User and system time of the pool's workers (proc(5): fields 14 and 15 of /proc/pid/stat)."""
    ticks = 0
    for pid in pool.worker_pids():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS
