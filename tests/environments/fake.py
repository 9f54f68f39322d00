"""A benchmark of a few lines: count down from the task's number. Deterministic, instant, and able to misbehave."""

from __future__ import annotations

import copy
import errno
import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.environments.base import Answer, Panel, Prompt, Tick, Turn
from pipelines.protocols import Observation, Outcome
from pipelines.records import Task

MACHINE_FAULTS: dict[str, Exception] = {
    "fill the disk": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "spend the quota": OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
    "lose the right to write": PermissionError(errno.EACCES, os.strerror(errno.EACCES)),
    "lock the disk": OSError(errno.EROFS, os.strerror(errno.EROFS)),
    "break the disk": OSError(errno.EIO, os.strerror(errno.EIO)),
    "spend the handles": OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
    "fill the memory": MemoryError(),
    "fill every temporary folder": FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"),
}


class CountDown:
    """Say "down" until 0 is reached. "die", "hang" and "raise" do what they say to the worker that plays them — for
    tasks named "…once" only as long as no mark was left in ``folder``. The ``MACHINE_FAULTS`` are raised as they are."""

    def __init__(self, task: Task, folder: Path) -> None:
        self.task, self.folder, self.left, self.state = task, folder, int(task.source), "new"

    def reset(self) -> Observation:
        if self.state != "new":
            raise RuntimeError("an environment plays one episode")
        self.state = "running"
        return self._look()

    def _look(self) -> Observation:
        return Observation(f"{self.left} left", ("down", "stay"))

    def step(self, action: str) -> Outcome:
        if self.state != "running":
            raise RuntimeError("reset first")
        if action in ("die", "hang", "raise"):
            self._misbehave(action)
        if action in MACHINE_FAULTS:
            raise MACHINE_FAULTS[action]
        self.left -= action == "down"
        done = self.left == 0
        valid = action in ("down", "stay", "die", "hang", "raise")
        return Outcome(self._look(), float(done), float(done), success=done, done=done, valid=valid)

    def state_key(self) -> str:
        if self.state == "new":
            raise RuntimeError("reset first")
        return str(self.left)

    def _misbehave(self, how: str) -> None:
        mark = self.folder / f"{self.task.id}.mark"
        if self.task.id.endswith("once") and mark.exists():
            return
        mark.touch()
        if how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "hang":
            time.sleep(60)
        raise ValueError("broken on purpose")

    def close(self) -> None:
        self.state = "closed"


class ForkingCountDown(CountDown):
    """It notes in ``folder`` how often one was begun."""

    def reset(self) -> Observation:
        with (self.folder / "begun").open("a") as file:
            file.write(f"{self.task.id} ")
        return super().reset()

    def fork(self) -> ForkingCountDown:
        return copy.copy(self)


class CountDownBenchmark:
    name = "countdown"
    max_steps = 8
    remarks = ()
    invalid_penalty = 0.1

    def check(self) -> None: ...

    def prepare(self, folder: Path, *, workers: int, tick: Tick) -> None:
        folder.mkdir(parents=True, exist_ok=True)

    def panels(self, folder: Path) -> dict[str, Panel]:
        tasks = tuple(task(str(i), 1 + i % 3) for i in range(6))
        return {split: Panel(split, tasks, f"{len(tasks):064d}") for split in ("train", "valid_unseen")}

    def environment(self, task: Task, folder: Path) -> CountDown:
        return CountDown(task, folder)

    def prompt(self, past: Sequence[Turn], observation: Observation) -> Prompt:
        return Prompt.of_user(observation.text, continues=bool(past))

    shown = prompt

    def read_answer(self, text: str) -> Answer:
        return Answer(text, well_formed=bool(text))

    def outcome_reward(self, *, success: bool, score: float) -> float:
        return float(success)

    def demonstration(self, task: Task, folder: Path, rng: random.Random, noise: float) -> Iterator[Turn]:
        environment = self.environment(task, folder)
        observation = environment.reset()
        for _ in range(self.max_steps):
            action = "stay" if rng.random() < noise else "down"
            yield Turn(observation, action)
            outcome = environment.step(action)
            if outcome.done:
                return
            observation = outcome.observation

    def corpus(self, folder: Path) -> Iterator[str]:
        yield from ("down", "stay", "3 left")


def task(name: str, count: int) -> Task:
    return Task("countdown", "train", name, "count", str(count), "0" * 64)
