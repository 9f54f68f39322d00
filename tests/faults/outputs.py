"""What a model may say: texts of every kind through each benchmark's parser and its environment."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

from pipelines.environments.base import Benchmark
from pipelines.protocols import Environment, Outcome
from pipelines.registry import benchmark_names, benchmark_spec
from tests.faults.found import Found, Tick
from tests.faults.fuzz import Chunk, in_chunks, mutated, noise
from tests.pipelines.runs import small_config

_CHUNK = 5_000
_STEPS = 40  # of an episode
_TAGS = (
    "<think>",
    "</think>",
    "<action>",
    "</action>",
    "<search>",
    "</search>",
    "<open>",
    "</open>",
    "<answer>",
    "</answer>",
)
_WORDS = ("click[", "search[", "]", "buy now", "go to", "take", " 1", "\n", "<", ">", "[SEP]", "<|im_end|>", "去")


def fuzz_outputs(count: int, seed: int, folder: Path, tick: Tick) -> Iterator[Found]:
    """``count`` texts for each benchmark."""
    for name in benchmark_names():
        data = _data(folder, name)
        _benchmark(name, str(folder)).prepare(data, workers=1, tick=lambda fraction: None)
        yield in_chunks(f"outputs to {name}", _play, count, _CHUNK, (name, str(folder), seed), tick)


def _play(name: str, folder: str, seed: int, number: int, count: int) -> Chunk:
    rng, chunk = random.Random(f"{name} {seed} {number}"), Chunk()
    benchmark, data = _benchmark(name, folder), _data(Path(folder), name)
    tasks = [task for panel in benchmark.panels(data).values() for task in panel.tasks]
    while chunk.done < count:
        environment = benchmark.environment(rng.choice(tasks), data)
        admissible = environment.reset().admissible
        for _ in range(min(_STEPS, count - chunk.done)):
            text = _said(rng, benchmark, admissible)
            label = f"{name}, chunk {number} of seed {seed}, {text!r}"
            outcome = chunk.try_one(label, partial(_step, benchmark, environment, text))
            if outcome is None or outcome.done:
                break
            admissible = outcome.observation.admissible
        environment.close()
    return chunk.closed()


def _step(benchmark: Benchmark, environment: Environment, text: str) -> Outcome:
    return environment.step(benchmark.read_answer(text).action)


def _said(rng: random.Random, benchmark: Benchmark, admissible: tuple[str, ...]) -> str:
    action = rng.choice(admissible) if admissible else "look"
    kind = rng.randrange(100)
    if kind < 30:
        return benchmark.answer("so", action)
    if kind < 60:
        return benchmark.answer(noise(rng), mutated(rng, action))
    if kind < 70:
        return benchmark.answer(noise(rng), noise(rng))
    if kind < 80:
        return noise(rng, 200)
    if kind < 99:
        return "".join(rng.choice((*_TAGS, *_WORDS, action, noise(rng, 8))) for _ in range(rng.randrange(20)))
    return rng.choice((*_TAGS, *_WORDS)) * rng.randrange(4_000)  # nested without an end


@cache
def _benchmark(name: str, folder: str) -> Any:
    experiment = small_config(Path(folder), name).experiment
    return benchmark_spec(name).build(experiment.benchmark, experiment.data)


def _data(folder: Path, name: str) -> Path:
    """Laid out as in a store, for what a benchmark keeps beside its data."""
    return folder / name / "artifacts" / "data" / "made"
