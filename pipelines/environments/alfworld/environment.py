"""One ALFWorld episode behind the ``Environment`` protocol, on engines that are used again and again."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.environments.alfworld.engine import Engine, EngineState
from pipelines.environments.alfworld.panels import read_content
from pipelines.errors import DataError
from pipelines.protocols import Observation, Outcome
from pipelines.records import Task

_BANNER = "-= Welcome to TextWorld, ALFRED! =-\n\n"
_free: list[
    Engine
] = []  # engines that no episode holds; they are used again, because a loaded library is never released


class AlfworldEnvironment:
    """An environment plays one episode. ``root`` holds ``json_2.1.1`` and ``cache_folder`` the translations. The reward is 1
    on success and else 0.

    Raises (reset, step):
        DataError: the game file is missing, damaged, not the one the panel was made from, or no game that can be played.
    """

    def __init__(self, task: Task, root: Path, cache_folder: Path | None) -> None:
        self._task, self._path, self._cache = task, root / task.source, cache_folder
        self._engine: Engine | None = None

    def reset(self) -> Observation:
        if self._engine is not None:
            raise RuntimeError("an environment plays one episode")
        game = _read_game(self._path, self._task.sha256)
        self._engine = _free.pop() if _free else Engine()
        with _playable(self._path):
            self._engine.load(game, self._cache)
            return _observation(self._engine.reset())

    def step(self, action: str) -> Outcome:
        if self._engine is None:
            raise RuntimeError("reset the environment before the first step")
        with _playable(self._path):
            valid = self._engine.admits(action)
            state = self._engine.step(action)
        won = state.won
        return Outcome(_observation(state), float(won), float(won), success=won, done=won, valid=valid)

    def fork(self) -> AlfworldEnvironment:
        """See ``Forks``. It has an engine of its own."""
        if self._engine is None:
            raise RuntimeError("reset the environment before it is forked")
        twin = copy.copy(self)
        twin._engine = _free.pop() if _free else Engine()
        twin._engine.follow(self._engine)
        return twin

    def state_key(self) -> str:
        """A digest of the set of facts that hold. The goal, the texts and the order of events have no part in it."""
        if self._engine is None:
            raise RuntimeError("reset the environment before its state is asked for")
        return self._engine.state_key()

    def close(self) -> None:
        if self._engine is not None:
            _free.append(self._engine)
            self._engine = None


@contextmanager
def _playable(path: Path) -> Iterator[None]:
    """The parsers of games fail in every way (``AssertionError``, ``KeyError``, their own): the line says which game it was."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except (OSError, MemoryError):  # the machine's
        raise
    except (Exception, SystemExit) as error:  # the translator's last word is ``sys.exit``
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise DataError(
            f"{path} is no game that can be played ({why}): download or generate the games again"
        ) from error


def _observation(state: EngineState) -> Observation:
    return Observation(state.feedback.removeprefix(_BANNER).strip(), state.admissible)


def _read_game(path: Path, sha256: str) -> dict[str, str]:
    content = read_content(path)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DataError(
            f"{path} is not the game of the panel (its sha256 changed): download or generate the games again"
        )
    game: dict[str, str] = json.loads(content)
    return game
