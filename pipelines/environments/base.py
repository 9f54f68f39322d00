"""What a benchmark brings: its data, its panels, its environments, its prompts and its expert."""

from __future__ import annotations

import hashlib
import json
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import chain, product, zip_longest
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

from pipelines.errors import DataError
from pipelines.protocols import Environment, Message, Observation
from pipelines.records import Task
from pipelines.sections import BenchmarkSection, DataSection, FolderData

Tick = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Panel:
    """A fixed, sorted list of tasks; ``sha256`` is the hash over the tasks' ids and hashes, the same on every machine."""

    split: str
    tasks: tuple[Task, ...]
    sha256: str

    @classmethod
    def of(cls, split: str, tasks: Iterable[Task], more: bytes = b"") -> Panel:
        """``more``: what else the panel is made of, for its hash."""
        tasks = tuple(tasks)
        lines = "".join(f"{task.id} {task.sha256}\n" for task in tasks)
        return cls(split, tasks, hashlib.sha256(lines.encode() + more).hexdigest())


def in_turns(groups: Iterable[Sequence[Task]]) -> Iterator[Task]:
    """One task of each group after the other, so that the first n are balanced over the groups."""
    return (task for turn in zip_longest(*groups) for task in turn if task is not None)


@dataclass(frozen=True, slots=True)
class Turn:
    """One past exchange: what was shown, what the agent answered (its whole text)."""

    observation: Observation
    answer: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer says it wants to do. ``action``: what the environment is given, "" where nothing can be read, which no
    environment admits. ``well_formed``: it has the benchmark's format. ``forgiven``: then it costs no penalty, even where the
    environment does not admit the action."""

    action: str
    well_formed: bool
    forgiven: bool = False


@dataclass(frozen=True, slots=True)
class Prompt:
    """What to show next. ``messages``: role and text of each, in order; the policy's codec renders them by its chat template.
    ``continues``: they follow the last answer in the same growing context."""

    messages: tuple[Message, ...]
    continues: bool

    @classmethod
    def of_user(cls, text: str, *, continues: bool) -> Prompt:
        """A prompt of one user's message."""
        return cls((Message("user", text),), continues)

    def after(self, text: str) -> Prompt:
        """The same prompt with a text before its first message, where it begins a context."""
        first, *rest = self.messages
        return self if self.continues else Prompt((Message(first.role, text + first.content), *rest), continues=False)

    @property
    def text(self) -> str:
        """The messages' texts without their roles, for people."""
        return "\n\n".join(message.content for message in self.messages)


class Player(ABC):
    """A benchmark's expert: it plays by rules and reads only what an agent reads, for demonstrations and as an upper baseline."""

    @abstractmethod
    def observe(self, action: str, observation: Observation) -> None:
        """Learn from the environment's answer to an action ("": the first observation)."""

    @abstractmethod
    def decide(self, observation: Observation) -> tuple[str, str]:
        """(thought, action)."""

    def noisy(self, action: str, observation: Observation, rng: random.Random, noise: float) -> str:
        """With probability ``noise`` a random admissible action takes the place of the decided one."""
        options = observation.admissible
        return rng.choice(options) if options and rng.random() < noise else action


class Benchmark(ABC):
    """Base of every benchmark, which its ``BenchmarkSpec`` names; picklable, for environment workers get a copy."""

    config: BenchmarkSection
    data: DataSection
    examples: str = ""  # before every fresh prompt

    def __init__(self, config: BenchmarkSection, data: DataSection) -> None:
        self.config, self.data = config, data
        self.name, self.max_steps, self.invalid_penalty = config.name, config.max_steps, config.invalid_penalty

    @property
    def remarks(self) -> tuple[str, ...]:
        """What whoever reads the results must know of how they were scored; they carry it. Usually nothing."""
        return ()

    # ---------------------------------------------------------------------------------------------------------- data

    @abstractmethod
    def check(self) -> None:
        """What can be told in no time: real data that are not there, by their names, or a package that is missing.

        Raises:
            ConfigError, DataError: it cannot be played.
        """

    @abstractmethod
    def prepare(self, folder: Path, *, workers: int, tick: Tick) -> None:
        """Write the benchmark's data (generated) or nothing (real) below ``folder``; deterministic bytes. ``tick`` is told
        the fraction that is done."""

    @abstractmethod
    def panels(self, folder: Path) -> dict[str, Panel]:
        """Panels by split. ``folder`` is what ``prepare`` wrote; checked against the files: a missing, cut or altered
        file is a DataError that names it."""

    def root(self, folder: Path) -> Path:
        """Where the data lie: in ``folder`` what was generated, anything else where the user has it. Raises DataError."""
        if not isinstance(self.data, FolderData):
            return folder
        if self.data.folder is None:
            raise DataError(
                f"data=real needs {self.data.needs}: set {self.data.variable} to their folder, or give data.root=…; or use "
                "data=generated"
            )
        return self.data.folder

    def cache(self, folder: Path) -> Path:
        """A folder in the store, beside the artifact and never inside it, whose files are checksummed."""
        return folder.parent.parent / "cache" / self.name

    # ------------------------------------------------------------------------------------------------------- playing

    @abstractmethod
    def environment(self, task: Task, folder: Path) -> Environment:
        """A fresh single-use environment, cheap when called again in the same process."""

    @abstractmethod
    def prompt(self, past: Sequence[Turn], observation: Observation) -> Prompt:
        """What to show next, without worked examples."""

    def shown(self, past: Sequence[Turn], observation: Observation) -> Prompt:
        """What to show next."""
        return self.prompt(past, observation).after(self.examples)

    @abstractmethod
    def read_answer(self, text: str) -> Answer:
        """What an answer wants to do, by the rule ``prompt.parsing``."""

    def outcome_reward(self, *, success: bool, score: float) -> float:
        """What the task pays at the end, before penalties; 0 for a failure with score 0."""
        return self.config.success_reward * float(success)

    # ------------------------------------------------------------------------------------------------- demonstrations

    @abstractmethod
    def expert(self, task: Task, folder: Path) -> Player: ...

    def answer(self, thought: str, action: str) -> str:
        """An assistant message in the benchmark's format."""
        return f"<think>{thought}</think><action>{action}</action>"

    def demonstration(self, task: Task, folder: Path, rng: random.Random, noise: float) -> Iterator[Turn]:
        """Play one episode with the (noisy) expert: yields each turn as it was shown and answered."""
        return self.played(task, folder, self.expert(task, folder), rng, noise, self.max_steps)

    def played(
        self, task: Task, folder: Path, player: Player, rng: random.Random, noise: float, steps: int
    ) -> Iterator[Turn]:
        """The turns of an episode of at most ``steps`` that a player, with noise, plays."""
        environment = self.environment(task, folder)
        try:
            observation, action = environment.reset(), ""
            for _ in range(steps):
                player.observe(action, observation)
                thought, action = player.decide(observation)
                action = player.noisy(action, observation, rng, noise)
                turn = Turn(observation, self.answer(thought, action))
                yield turn
                outcome = environment.step(self.read_answer(turn.answer).action)
                if outcome.done:
                    return
                observation = outcome.observation
        finally:
            environment.close()

    def taught(self, examples: str) -> Self:
        """The same benchmark, which shows worked examples."""
        same = copy(self)
        same.examples = examples
        return same

    def worked_examples(self, panel: Panel, folder: Path) -> str:
        """``prompt.examples`` of the expert's plays on tasks of ``panel`` as a text, of one type of tasks after the other; "" for
        none. Of a type's first tasks the shortest plays that solve them are taken.

        Raises:
            DataError: the data does not say how to play, or too few of these plays solve their task.
        """
        wanted, tasks = self.config.prompt.examples, dict[str, list[Task]]()
        for task in panel.tasks if wanted else ():
            tasks.setdefault(task.task_type, []).append(task)
        tried = 3 + -(-wanted // max(len(tasks), 1))
        plays = [self._solutions(of_type[:tried], folder) for of_type in list(tasks.values())[:wanted]]
        chosen = [play for nth in zip_longest(*plays) for play in nth if play][:wanted]
        if len(chosen) < wanted:
            raise DataError(
                f"the training tasks give {len(chosen)} worked examples of benchmark.prompt.examples={wanted}: lower it"
            )
        return _as_text(chosen) if chosen else ""

    def _solutions(self, tasks: Sequence[Task], folder: Path) -> list[list[Turn]]:
        """The expert's plays that solve their task, the shortest first."""
        plays = ((task, list(self.demonstration(task, folder, random.Random(0), noise=0.0))) for task in tasks)
        return sorted((play for task, play in plays if self._solves(task, folder, play)), key=len)

    def _solves(self, task: Task, folder: Path, play: Sequence[Turn]) -> bool:
        environment = self.environment(task, folder)
        try:
            environment.reset()
            return [environment.step(self.read_answer(turn.answer).action) for turn in play][-1].success
        finally:
            environment.close()

    def spoken(self, tasks: Sequence[Task], folder: Path, steps: int) -> Iterator[Iterator[Turn]]:
        """Episodes for ``corpus``, noise-free and very noisy, of at most ``steps``: not ``max_steps``, on which the model's bytes
        do not depend."""
        rng = random.Random(0)
        for task, noise in product(tasks, (0.0, 0.9)):
            yield self.played(task, folder, self.expert(task, folder), rng, noise, steps)

    def texts(self, tasks: Sequence[Task], folder: Path, steps: int) -> Iterator[str]:
        """What is read and written in the ``spoken`` episodes."""
        for turn in chain.from_iterable(self.spoken(tasks, folder, steps)):
            yield from (turn.observation.text, turn.answer, *turn.observation.admissible)

    @abstractmethod
    def corpus(self, folder: Path) -> Iterator[str]:
        """Texts that contain every word of the benchmark, to build a stand-in's vocabulary from."""


def _as_text(plays: Sequence[Sequence[Turn]]) -> str:
    parts = [f"Worked examples of tasks of this kind ({len(plays)}):"]
    for number, play in enumerate(plays, start=1):
        turns = (f"Observation: {turn.observation.text}\nYour answer: {turn.answer}" for turn in play)
        parts.append(f"Example {number}\n" + "\n".join(turns))
    return "\n\n".join((*parts, "These were the examples. Now your own task.\n\n"))


def state_digest(*parts: object) -> str:
    """A state key of what determines the state: 32 hexadecimal digits. ``parts``: what JSON can say."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


@runtime_checkable
class AsksAhead(Protocol):
    """An environment that asks a server. A pool's worker calls ``expect`` with every action of a round before it plays the
    first of them, so that the server is asked once. It must not raise."""

    def expect(self, action: str) -> None: ...


@runtime_checkable
class Forks(Protocol):
    """An environment that can be doubled for less than a replay costs. Of the episodes that begin a round alike, a pool's worker plays
    one and forks it for the others."""

    def fork(self) -> Environment:
        """Another one, which goes on from the same state and answers as this one would. Neither sees what the other does."""
        ...
