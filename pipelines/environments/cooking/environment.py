"""One cooking game behind the ``Environment`` protocol: TextWorld's own engine (Jericho's Z-machine), its texts cleaned."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pipelines.environments.base import state_digest
from pipelines.environments.cooking.panels import read_game
from pipelines.environments.cooking.patches import memory_of
from pipelines.errors import DataError
from pipelines.protocols import Observation, Outcome
from pipelines.records import Task

UNKNOWN = "That cannot be done now."  # the platform's answer to what is not admissible; the game never hears of it
_STATUS = re.compile(r"\n>\s*-= .*=-\s*-?\d+/\d+\s*$|\n\s*\*\*\* (?:The End|You lost!) \*\*\*[\s\S]*$")
_SEED = 1  # of the Z-machine's dice; Jericho takes 0 for none, which is the clock


class CookingEnvironment:
    """Single use. The reward of a step is its points as a share of the game's; the score is their sum.

    Raises (reset):
        DataError: a file of the game is missing, damaged, or not the one the panel was made from.
    """

    def __init__(self, task: Task, root: Path) -> None:
        self._task, self._path = task, root / task.source
        self._engine: Any = None

    def reset(self) -> Observation:
        if self._engine is not None:
            raise RuntimeError("an environment plays one episode")
        if read_game(self._path)[1] != self._task.sha256:
            raise DataError(
                f"{self._path} is not the game of the panel (its sha256 changed): make or copy the games again"
            )
        try:
            return self._begin()
        except (OSError, MemoryError):
            raise
        except Exception as error:
            # Whatever TextWorld and its parsers raise of a description that is not as they wrote it.
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            raise DataError(f"{self._path} cannot be played ({why}): make or copy the games again") from None

    def _begin(self) -> Observation:
        self._engine = _start(self._path)
        self._state, self._score = self._engine.reset(), 0.0
        text = self._state.feedback  # a banner in large letters comes before the objective
        return self._observation(text[text.index(self._state.objective) :])

    def step(self, action: str) -> Outcome:
        if self._engine is None:
            raise RuntimeError("reset the environment before the first step")
        if action not in self._state.admissible_commands:
            return Outcome(self._observation(UNKNOWN), 0.0, self._score, success=False, done=False, valid=False)
        self._state, _, done = self._engine.step(action)
        before, self._score = self._score, self._state.score / self._state.max_score
        observation = self._observation(self._state.feedback)
        won = bool(self._state.won)
        return Outcome(observation, self._score - before, self._score, success=won, done=bool(done), valid=True)

    def state_key(self) -> str:
        """The facts that hold, the points so far, and what lies where in which order, as a digest. The order is no fact, but
        the game lists things by it."""
        if self._engine is None:
            raise RuntimeError("reset the environment before its state is asked for")
        facts = sorted(map(str, self._state.facts))
        return state_digest(facts, self._score, object_tree(memory_of(self._engine)).hex())

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _observation(self, text: str) -> Observation:
        return Observation(tidy(text), tuple(self._state.admissible_commands))


def tidy(text: str) -> str:
    """The game's text without its prompt, status line and closing questions; runs of empty lines become one."""
    return re.sub(r"\n\s*\n", "\n\n", _STATUS.sub("", text)).strip()


def object_tree(memory: bytes) -> bytes:
    """Parent, next sibling and first child of every object, six bytes each, of a Z-machine's memory (version 4 and later).

    The table's address stands at 0x0A. It begins with 63 words of defaults; objects of 14 bytes follow (six of attributes, the
    three numbers, the address of the properties), up to the properties of the first one. See The Z-Machine Standards Document,
    section 12, https://inform-fiction.org/zmachine/standards/z1point1/sect12.html.
    """
    start = int.from_bytes(memory[0x0A:0x0C]) + 2 * 63
    end = int.from_bytes(memory[start + 12 : start + 14])
    return b"".join(memory[entry + 6 : entry + 12] for entry in range(start, end - 13, 14))


def _start(path: Path) -> Any:
    import textworld

    infos = textworld.EnvInfos(
        admissible_commands=True, facts=True, objective=True, score=True, max_score=True, won=True, lost=True
    )
    engine = textworld.start(str(path), infos)
    engine.seed(_SEED)
    return engine
