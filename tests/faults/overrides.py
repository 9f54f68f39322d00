"""What a person may type: strings as overrides of a launch, each refused in one line or composed."""

from __future__ import annotations

import contextlib
import io
import random
from functools import cache, partial
from pathlib import Path

from pipelines.errors import PlatformError
from tests.faults.found import Found, Tick
from tests.faults.fuzz import Chunk, in_chunks, mutated, noise

_CHUNK = 250
_VALUES = (
    "1", "-1", "0", "1e999", "nan", "null", "true", "[1,2]", "{a:1}", "'", '"', "${oc.env:HOME}", "${training}", "range(1,3)",
    "glob(*)", "choice(a,b)", "/dev/null", "é", "???", "9" * 400, "a=b", "1,2", "",
)  # fmt: skip
_GROUPS = (
    "benchmark",
    "model",
    "algorithm",
    "empg",
    "scale",
    "policy",
    "data",
    "tracker",
    "warm_start",
    "hydra/launcher",
    "+experiment",
)


def fuzz_overrides(count: int, seed: int, folder: Path, tick: Tick) -> list[Found]:
    return [in_chunks("overrides", _read, count, _CHUNK, (seed,), tick)]


def _read(seed: int, number: int, count: int) -> Chunk:
    from flows.launch.command import read_command

    rng, chunk = random.Random(f"{seed} {number}"), Chunk()
    _leaves()  # importing is no call's time
    for _ in range(count):
        words = [_word(rng) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        words += ["-m"] * (rng.random() < 0.1)
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            # Hydra's own parser of options exits, as a command line's does.
            chunk.try_one(repr(words), partial(read_command, words), (PlatformError, SystemExit))
    return chunk.closed()


def _word(rng: random.Random) -> str:
    kind = rng.randrange(10)
    key = rng.choice(_GROUPS) if kind < 3 else rng.choice(_leaves())
    value = rng.choice((*_VALUES, noise(rng, 12)))
    word = f"{rng.choice(('', '', '', '+', '++', '~'))}{key}={value}"
    return mutated(rng, word) if kind < 7 else noise(rng, 40) if kind == 9 else word


@cache
def _leaves() -> tuple[str, ...]:
    from flows.configure.compose import compose

    def below(prefix: str, value: object) -> list[str]:
        if not isinstance(value, dict):
            return [prefix]
        return [leaf for key, inner in value.items() for leaf in below(f"{prefix}.{key}".lstrip("."), inner)]

    return tuple(below("", compose([]).experiment.model_dump()))
