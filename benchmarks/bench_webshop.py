"""WebShop: environment steps per second with 1,000 products, and seconds to load and index 50,000, of one core.

The baseline of the steps is the target itself (5,000 steps per CPU second); that of loading is its bound (10 s). Steps are
random listed clicks and searches for words of the instruction, episodes' starts included. Loading is the whole way from the
JSON files to the first page of results, with nothing kept from before; the same again from the kept form is in the note.
"""

from __future__ import annotations

import random
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.games import make_games
from benchmarks.measure import Pair, Row, at_least, at_most, cpu_seconds, say
from pipelines.environments.base import Benchmark
from pipelines.environments.webshop.catalogue import Sources
from pipelines.environments.webshop.config import WebshopConfig, WebshopGenerated
from pipelines.environments.webshop.generate import INSTRUCTIONS, PRODUCTS
from pipelines.environments.webshop.reading import read
from pipelines.environments.webshop.shop import close_shops, open_shop
from pipelines.records import Task

STEPS_PER_SECOND, SECONDS, REPEATS = 5_000.0, 10.0, 3
EPISODES, STEPS = 200, 15
MANY = 50_000

Script = tuple[Task, list[str]]


def bench_webshop() -> list[Row]:
    """One row for each."""
    with tempfile.TemporaryDirectory() as store:
        return [_steps(Path(store) / "few"), _loading(Path(store) / "many")]


def _steps(store: Path) -> Row:
    benchmark, folder = make_games(WebshopConfig(), WebshopGenerated(), store)
    tasks = benchmark.panels(folder)["train"].tasks[:EPISODES]
    scripts = [_random_play(benchmark, task, folder, seed) for seed, task in enumerate(tasks)]
    played = sum(len(actions) for _, actions in scripts)
    name, pairs = f"WebShop steps, {WebshopGenerated().products:,} products", list[Pair]()
    for repeat in range(REPEATS):
        pairs.append((played / STEPS_PER_SECOND, cpu_seconds(lambda: _play(benchmark, folder, scripts))))
        say(f"{name}: {repeat + 1} of {REPEATS}")
    return at_least(name, pairs, 1.0, "steps/CPU s", amount=played)


def _random_play(benchmark: Benchmark, task: Task, folder: Path, seed: int) -> Script:
    rng, actions = random.Random(seed), list[str]()
    environment = benchmark.environment(task, folder)
    observation = environment.reset()
    words = read(observation).instruction.split()
    for _ in range(STEPS):
        action = rng.choice(observation.admissible)
        actions.append(f"search[{' '.join(rng.sample(words, 3))}]" if action.startswith("search[") else action)
        outcome = environment.step(actions[-1])
        if outcome.done:
            break
        observation = outcome.observation
    return task, actions


def _play(benchmark: Benchmark, folder: Path, scripts: list[Script]) -> None:
    for task, actions in scripts:
        environment = benchmark.environment(task, folder)
        environment.reset()
        for action in actions:
            environment.step(action)


def _loading(store: Path) -> Row:
    _, folder = make_games(WebshopConfig(), WebshopGenerated(products=MANY), store)
    name, pairs, again = f"WebShop load and index, {MANY:,} products", list[Pair](), list[float]()
    for repeat in range(REPEATS):
        opening = partial(_open, folder, store / f"cache{repeat}")
        pairs.append((SECONDS, cpu_seconds(opening)))
        again.append(cpu_seconds(opening))
        say(f"{name}: {repeat + 1} of {REPEATS}")
    return at_most(name, pairs, 1.0, "CPU s", note=f"from the kept form {median(again):.2g} s")


def _open(folder: Path, cache: Path) -> None:
    """As a process that has nothing open."""
    close_shops()
    assert open_shop(Sources(folder / PRODUCTS, folder / INSTRUCTIONS, None), 0, cache).search("storage basket")
