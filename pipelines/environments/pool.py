"""A pool of environment workers: processes with their own engines, one message per worker per round.

Processes, not threads: the ALFWorld engine is not thread-safe, and a crash of its C++ library takes a worker, not the
run. A worker that dies is replaced and its episodes are replayed from their recorded actions; environments are
deterministic, so the rollout sees nothing of it.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Generic, TypeVar

from pipelines.environments.base import AsksAhead, Benchmark, Forks
from pipelines.errors import EnvironmentFailure, MachineFailure, PlatformError, StoreFull
from pipelines.files import DISK_FULL
from pipelines.protocols import Environment, Observation, Outcome
from pipelines.records import Task
from pipelines.rounds import Rounds
from pipelines.workers import Worker, WorkerDied

T = TypeVar("T")
TIMEOUT_S = 120.0
_MACHINE = {
    errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """What an environment answered, and the key of the engine's state that it left behind (``Environment.state_key``)."""

    answer: T
    state: str


@dataclass(frozen=True, slots=True)
class _Order:
    """For one episode: (re)start it when ``task`` is given, then play ``actions``; there is a reply to each of it. ``close`` only
    ends it."""

    episode: int
    task: Task | None = None
    actions: tuple[str, ...] = ()
    close: bool = False


class EnvironmentPool:
    """Plays many episodes at once behind ``reset`` and ``step`` coroutines.

    ``attempts``: how often an episode may bring its environment down before it counts as failed.
    """

    def __init__(
        self, benchmark: Benchmark, folder: Path, *, workers: int, attempts: int, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._workers = [Worker(_work, benchmark, folder) for _ in range(workers)]
        self._most, self._timeout_s = attempts, timeout_s
        self._rounds: Rounds[_Order, list[Reply[Any]]] = Rounds(self._answer)
        self._tasks: Sequence[Task] = ()

    def open(self, tasks: Sequence[Task]) -> None:
        """Announce the episodes of the next rollout; episode i plays ``tasks[i]``."""
        self._closing = [_Order(e, close=True) for e in range(len(self._tasks))]
        self._tasks = tasks
        self._actions: list[list[str]] = [[] for _ in tasks]
        self._starts, self._crashes = [0] * len(tasks), [0] * len(tasks)
        self._lost: set[int] = set()
        self._rounds.open(len(tasks))

    async def reset(self, episode: int) -> Reply[Observation]:
        """The first observation.

        Raises:
            EnvironmentFailure: the episode's attempts are spent.
            MachineFailure, StoreFull: it is not the environment that failed.
        """
        return (await self.replay(episode, ()))[0]

    async def replay(self, episode: int, actions: Sequence[str]) -> list[Reply[Any]]:
        """The first observation, then the answer to each of the actions, in one round with the others' first observations. Raises
        what ``reset`` does."""
        self._actions[episode] = list(actions)
        return await self._rounds.ask(episode, _Order(episode, self._tasks[episode]))

    async def step(self, episode: int, action: str) -> Reply[Outcome]:
        """The answer to an action. Raises what ``reset`` does."""
        self._actions[episode].append(action)
        return (await self._rounds.ask(episode, _Order(episode, None, (action,))))[-1]

    def leave(self, episode: int) -> None:
        """The episode is over; its engine is free for another."""
        self._closing.append(_Order(episode, close=True))
        self._rounds.leave(episode)

    def attempts(self, episode: int) -> int:
        """How often the episode was started."""
        return max(self._starts[episode], 1)

    def worker_pids(self) -> list[int]:
        return [worker.pid for worker in self._workers]

    def close(self) -> None:
        for worker in self._workers:
            worker.stop()

    # ------------------------------------------------------------------------------------------------------ one round

    def _answer(self, rows: Sequence[tuple[int, _Order]]) -> list[list[Reply[Any]] | Exception]:
        """Send every worker its share, then collect: the workers play at the same time."""
        answers: dict[int, list[Reply[Any]] | Exception] = {}
        shares: list[list[_Order]] = [[] for _ in self._workers]
        for episode, order in rows:
            shares[episode % len(self._workers)].append(self._restored(order))
        closing, self._closing = self._closing, []
        for worker, number in zip(self._workers, range(len(shares)), strict=True):
            mine = [order for order in closing if order.episode % len(shares) == number]
            if mine or shares[number]:
                worker.send(mine + shares[number])
        for worker, share in zip(self._workers, shares, strict=True):
            try:
                replies = self._receive(worker, len(share))
            except WorkerDied:
                self._replace(worker)
                replies = [None] * len(share)  # whose doing it was is not known
            for order, reply in zip(share, replies, strict=True):
                unsettled = reply is None or isinstance(reply, _Failed)
                answers[order.episode] = self._alone(worker, order, reply) if unsettled else _raisable(reply)
        return [answers[episode] for episode, _ in rows]

    def _receive(self, worker: Worker, count: int) -> list[object]:
        replies: list[object] = worker.receive(self._timeout_s) if count else []
        if len(replies) != count:
            raise WorkerDied
        return replies

    def _restored(self, order: _Order) -> _Order:
        """The order as it is, or, for an episode whose environment was lost, a replay that ends with it."""
        if order.task is None and order.episode not in self._lost:
            return order
        self._lost.discard(order.episode)
        self._starts[order.episode] += 1
        return _Order(order.episode, self._tasks[order.episode], tuple(self._actions[order.episode]))

    def _alone(self, worker: Worker, order: _Order, reply: object) -> list[Reply[Any]] | Exception:
        """Replay one episode by itself: should the worker die now, it is this episode's doing. ``reply``: the failure
        that was its own already, if any."""
        episode, why = order.episode, "the worker died"
        if isinstance(reply, _Failed):
            self._crashes[episode] += 1
            why = reply.why
        while self._crashes[episode] < self._most:
            self._lost.add(episode)
            worker.send([self._restored(order)])
            try:
                (reply,) = self._receive(worker, 1)
            except WorkerDied:
                self._replace(worker)
                reply = _Failed("the worker died")
            if not isinstance(reply, _Failed):
                return _raisable(reply)
            why = reply.why
            self._crashes[episode] += 1
        return EnvironmentFailure(f"environment of {self._tasks[episode].id} failed {self._most} times: {why}")

    def _replace(self, worker: Worker) -> None:
        """A fresh process; everything the old one held has to be replayed."""
        worker.restart()
        number = self._workers.index(worker)
        self._lost |= {e for e in range(len(self._tasks)) if e % len(self._workers) == number}


@dataclass(frozen=True, slots=True)
class _Failed:
    """An environment raised; only its own episode is affected."""

    why: str


def _raisable(reply: object) -> list[Reply[Any]] | Exception:
    assert isinstance(reply, list | Exception)
    return reply


def _work(pipe: Connection, benchmark: Benchmark, folder: Path) -> None:
    """A worker's life: one message of orders in, one message of replies out."""
    environments: dict[int, Environment] = {}
    while True:
        orders: list[_Order] = pipe.recv()
        replies: list[object] = []
        _expect(orders, environments)
        begun: dict[_Begun, tuple[Forks, list[Reply[Any]]]] = {}
        for order in orders:
            if order.close:
                if (environment := environments.pop(order.episode, None)) is not None:
                    environment.close()
                continue
            replies.append(_play(order, environments, begun, benchmark, folder))
        if replies:  # orders that only close are not answered
            pipe.send(replies)


def _expect(orders: list[_Order], environments: dict[int, Environment]) -> None:
    """Tell environments that ask servers what the round holds, before its first step."""
    for order in orders:
        environment = environments.get(order.episode)
        if isinstance(environment, AsksAhead) and order.task is None and order.actions:
            environment.expect(order.actions[-1])


_Begun = tuple[Task, tuple[str, ...]]  # what episodes of a round have begun with


def _play(
    order: _Order,
    environments: dict[int, Environment],
    begun: dict[_Begun, tuple[Forks, list[Reply[Any]]]],
    benchmark: Benchmark,
    folder: Path,
) -> object:
    """``begun``: the episodes of this round that can be forked; none of them has gone on since."""
    try:
        if order.task is None:
            return _steps(environments[order.episode], order.actions)
        if (old := environments.pop(order.episode, None)) is not None:
            old.close()
        if (alike := begun.get((order.task, order.actions))) is not None:
            environments[order.episode] = alike[0].fork()
            return list(alike[1])
        environment = environments[order.episode] = benchmark.environment(order.task, folder)
        replies = [Reply(environment.reset(), environment.state_key()), *_steps(environment, order.actions)]
        if isinstance(environment, Forks):
            begun[order.task, order.actions] = environment, replies
        return replies
    except PlatformError as error:  # the user's data, not a crash: a retry would not help
        return error
    except Exception as error:
        return _machine_failure(error, benchmark) or _Failed(f"{type(error).__name__}: {error}")


def _steps(environment: Environment, actions: Sequence[str]) -> list[Reply[Any]]:
    return [Reply(environment.step(action), environment.state_key()) for action in actions]


def _machine_failure(error: Exception, benchmark: Benchmark) -> PlatformError | None:
    """What stops the stage, where it is not the environment's own failure."""
    number = error.errno if isinstance(error, OSError) else None
    if number in DISK_FULL:
        remedy = "raise the limit on the size of files (ulimit -f)" if number == errno.EFBIG else "free some space"
        return StoreFull(
            f"no space left while playing {benchmark.name} ({error}): {remedy} and launch again; what was finished stays"
        )
    homeless = "No usable temporary directory" in str(error)  # so tempfile says that every one of them is full
    if number in _MACHINE or homeless or isinstance(error, MemoryError):
        return MachineFailure(
            f"the machine failed while playing {benchmark.name} ({type(error).__name__}: {error}): mend it and launch "
            "again; what was finished stays"
        )
    return None
