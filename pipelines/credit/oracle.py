"""The oracle: what steps that a run played were worth under the policy that played them, by continuing from before and behind each.

V(t) is the mean return of the policy's own continuations of the first t steps, 0 behind the last; Q = r + V(t + 1); A = Q − V(t).
Returns are sums of shaped rewards, undiscounted; beside them the same of success.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, zip_longest
from typing import Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.artifacts import Artifact
from pipelines.config import ExperimentConfig
from pipelines.config.views import ContinuationsView, DataView, PlayingView, PolicyView, UpdateView
from pipelines.credit.lineage import Lineage
from pipelines.credit.values import Values
from pipelines.environments.base import Tick
from pipelines.records import Trajectory
from pipelines.schemas import CONTINUATIONS, ORACLE
from pipelines.seeds import derive_seed
from pipelines.stages import stored
from pipelines.stages.live_policy import Update
from pipelines.stages.prefix import prefix_identities
from pipelines.stages.reading import read_rollout
from pipelines.stages.session import Session

T = TypeVar("T")
Place = tuple[int, int, int]  # group, member, step; of a prefix: its length


class Observer(Protocol):
    """Is told of the work as it goes on."""

    def part(self, iteration: int, work: Callable[[], T]) -> T:
        """Do a part of an iteration's continuations, and return what ``work`` does."""
        ...

    def progress(self, done: float, text: str) -> None:
        """``done``: the share of all of it."""
        ...


@dataclass(frozen=True)
class Question:
    """``steps`` of each of the ``iterations``, with so many ``continuations`` before and behind each."""

    iterations: tuple[int, ...]
    steps: int
    continuations: int
    seed: int


@dataclass(frozen=True)
class Chosen:
    """Of one iteration. ``prefixes``: those that are continued, short ones first; ``same``: of every prefix that a chosen step
    needs, the one of them that equals it."""

    batch: Mapping[tuple[int, int], Trajectory]
    steps: tuple[Place, ...]
    prefixes: tuple[Place, ...]
    same: Mapping[Place, Place]

    def is_last(self, place: Place) -> bool:
        group, member, step = place
        return step + 1 == len(self.batch[group, member].steps)


def choose(batch: Sequence[Trajectory], steps: int, seed: int) -> Chosen:
    """A seeded draw, as equally many of each task as can be: tasks take turns, each gives a step of any of its episodes. All of
    them where there are not more than ``steps``. Equal prefixes of a task (the same actions, the same tokens) are continued once."""
    episodes = {(t.group, t.member): t for t in batch}
    drawn = tuple(sorted(islice(_turns(batch, random.Random(seed)), steps)))
    identities = {episode: prefix_identities(t) for episode, t in episodes.items()}
    first: dict[str, Place] = {}
    same = {}
    for group, member, step in drawn:
        for length in range(step, min(step + 2, len(episodes[group, member].steps))):
            place = group, member, length
            same[place] = first.setdefault(identities[group, member][length], place)
    prefixes = sorted(first.values(), key=lambda place: (place[2], place))
    return Chosen(episodes, drawn, tuple(prefixes), same)


def _turns(batch: Sequence[Trajectory], dice: random.Random) -> Iterator[Place]:
    of_task: dict[int, list[Place]] = {}
    for t in batch:
        of_task.setdefault(t.group, []).extend((t.group, t.member, i) for i in range(len(t.steps)))
    for places in of_task.values():
        dice.shuffle(places)
    tasks = list(of_task.values())
    dice.shuffle(tasks)
    return (place for turn in zip_longest(*tasks) for place in turn if place is not None)


def choose_all(question: Question, lineage: Lineage) -> dict[int, Chosen]:
    """By iteration."""
    return {
        i: choose(
            read_rollout(lineage.iterations[i].rollout).batch(), question.steps, derive_seed(question.seed, "steps", i)
        )
        for i in question.iterations
    }


def measure(
    session: Session,
    experiment: ExperimentConfig,
    lineage: Lineage,
    question: Question,
    chosen: Mapping[int, Chosen],
    observer: Observer,
) -> pa.Table:
    """ORACLE: a row per chosen step. Continuations are played in parts, each an artifact of the store: what was played is found. A
    part has about as many rows as the run's rollouts, so that whatever played these has room for it. Where the checkpoint that
    played was pruned, it is made again.

    Raises:
        ReplayDiffers, EnvironmentFailure: see ``continue_prefixes``.
    """
    world = _world(session, experiment, lambda done: observer.progress(0.0, "making the data"))
    remember(session, experiment, lineage)
    size = max(1, experiment.training.tasks * experiment.training.group_size // question.continuations)
    total, done = sum(len(each.prefixes) for each in chosen.values()), 0
    tables = []
    for i, each in chosen.items():
        played, weights = lineage.iterations[i], stored.Weights(lineage.iterations[i].policy, lineage.initial)
        parts = []
        for start in range(0, len(each.prefixes), size):
            prefixes = each.prefixes[start : start + size]
            view = ContinuationsView.of(experiment, prefixes, continuations=question.continuations, seed=question.seed)

            def within(fraction: float, i: int = i, done: int = done, count: int = len(prefixes)) -> None:
                observer.progress((done + fraction * count) / total, f"iteration {i}")

            within(0.0)
            work = partial(stored.continuations, session, view, world, weights, played.rollout, each.batch, within)
            parts.append(observer.part(i, work))
            done += len(prefixes)
        tables.append(_table(i, each, parts, question.continuations))
    observer.progress(1.0, "")
    return pa.concat_tables(tables)


def _world(session: Session, experiment: ExperimentConfig, tick: Tick) -> stored.World:
    """As the run had it."""
    benchmark = session.benchmark(PlayingView.of(experiment))
    data = stored.data(session, DataView.of(experiment), tick).folder
    panels = benchmark.panels(data)
    return stored.World(data, panels, examples=benchmark.worked_examples(panels["train"], data))


def remember(session: Session, experiment: ExperimentConfig, lineage: Lineage) -> None:
    """How each checkpoint came about, for those that have to be made again."""
    live = session.policy(PolicyView.of(experiment), lineage.initial)
    for i, each in enumerate(lineage.iterations):
        live.remember(Update(UpdateView.of(experiment, i), each.policy, each.rollout, each.advantage), each.update)


def _table(iteration: int, chosen: Chosen, parts: Sequence[Artifact], continuations: int) -> pa.Table:
    table = pa.concat_tables([pq.read_table(part.path(CONTINUATIONS.file)) for part in parts])
    rows = {prefix: row for row, prefix in enumerate(chosen.prefixes)}
    returns, successes = (
        table[name].to_numpy().astype(np.float64).reshape(len(rows), continuations) for name in ("reward", "success")
    )
    last = np.array([chosen.is_last(place) for place in chosen.steps])
    before = np.array([rows[chosen.same[place]] for place in chosen.steps])
    behind = np.array([
        0 if is_last else rows[chosen.same[group, member, step + 1]]
        for (group, member, step), is_last in zip(chosen.steps, last, strict=True)
    ])  # fmt: skip
    episodes = [chosen.batch[group, member] for group, member, _ in chosen.steps]
    reward = np.array([t.steps[step].shaped_reward for t, (*_, step) in zip(episodes, chosen.steps, strict=True)])
    success = np.array([float(t.success) for t in episodes]) * last
    columns = {
        "iteration": [iteration] * len(episodes),
        "task_id": [t.task.id for t in episodes],
        **dict(zip(("group", "member", "step"), zip(*chosen.steps, strict=True), strict=True)),
        "steps": [len(t.steps) for t in episodes],
        **_worth("", Values.of(returns), before, behind, last, reward),
        **_worth("success_", Values.of(successes), before, behind, last, success),
    }
    return pa.table(columns, schema=ORACLE.schema)


def _worth(
    of: str, prefixes: Values, before: np.ndarray, behind: np.ndarray, last: np.ndarray, reward: np.ndarray
) -> dict[str, np.ndarray]:
    """V, Q and A of the chosen steps. ``before``, ``behind``: their prefixes; ``last``: nothing comes behind."""
    V = prefixes.at(before)
    Q = prefixes.at(behind).where(~last).plus(reward)
    A = Q.minus(V)
    low, high = A.interval()
    columns = {f"{of}A_low": low, f"{of}A_high": high}
    for name, values in (("V", V), ("Q", Q), ("A", A)):
        columns |= {
            f"{of}{name}": values.mean, f"{of}{name}_se": values.se,
            f"{of}{name}_first": values.first, f"{of}{name}_second": values.second,
        }  # fmt: skip
    return columns
