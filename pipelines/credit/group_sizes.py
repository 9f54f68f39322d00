"""Scores of methods by group size: members of each group are drawn, credit is assigned among them alone, and scored on their steps."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pipelines.config.views import AdvantageView
from pipelines.credit.replay import advantages
from pipelines.credit.scores import Array, Scores, score_sums, task_sums
from pipelines.credit.truth import Measured, Place
from pipelines.environments.base import Tick
from pipelines.errors import DataError
from pipelines.records import Trajectory
from pipelines.seeds import derive_seed

Batches = Mapping[int, Sequence[Trajectory]]
ALL = "all"
REPEATS = 8  # drawings of members; all members are one drawing


def estimates_of(
    batches: Batches, methods: Mapping[str, AdvantageView], places: Sequence[Place]
) -> tuple[npt.NDArray[np.bool_], Array]:
    """Which of the ``places`` are steps of the batches, by iteration, and what each method gives these: [that many, methods]."""
    found: dict[Place, Array] = {}
    for i, batch in batches.items():
        steps = ((i, t.group, t.member, step) for t in batch for step in range(len(t.steps)))
        values = np.column_stack([advantages(batch, view) for view in methods.values()])
        found.update(zip(steps, values.astype(np.float64), strict=True))
    there = np.array([place in found for place in places])
    return there, np.array([found[place] for place in places if place in found]).reshape(-1, len(methods))


def score_with(
    size: int | None, batches: Batches, methods: Mapping[str, AdvantageView], measured: Measured, *, seed: int = 0
) -> Scores:
    """``size`` members of each group, drawn ``REPEATS`` times; None: all members. ``batches``: of each measured iteration.

    Raises:
        DataError: no measured step is of a drawn member.
    """
    tasks, total = np.unique(measured.truth.tasks), dict[str, Array]()
    for repeat in range(1 if size is None else REPEATS):
        dice = random.Random(derive_seed(seed, "members", repeat))
        drawn = {i: batch if size is None else members(batch, size, dice) for i, batch in batches.items()}
        there, estimates = estimates_of(drawn, methods, measured.places)
        if there.any():
            sums = task_sums(estimates, measured.truth.at(there), tasks)
            total = {name: total.get(name, 0.0) + values for name, values in sums.items()}
    if not total:
        raise DataError(
            f"{len(measured.places)} measured steps, none of the {size} members drawn: measure more, by steps="
        )
    return score_sums(tuple(methods), total, seed=seed)


def score_all(
    sizes: Sequence[int], batches: Batches, methods: Mapping[str, AdvantageView], measured: Measured, tick: Tick
) -> dict[tuple[str, str], Scores]:
    """By iteration with all members, then of all iterations by group size; the last is of all iterations and all members."""
    parts: list[tuple[str, int | None, Batches]] = [(str(i), None, {i: batch}) for i, batch in batches.items()]
    parts += [(ALL, size, batches) for size in (*sizes, None)]
    iteration, found = np.array([i for i, *_ in measured.places]), {}
    for done, (name, size, of) in enumerate(parts):
        rows = measured.at(np.isin(iteration, list(of)))
        found[name, ALL if size is None else str(size)] = score_with(size, of, methods, rows)
        tick((done + 1) / len(parts))
    return found


def members(batch: Sequence[Trajectory], size: int, dice: random.Random) -> list[Trajectory]:
    """So many episodes of each group, or all of one that has fewer, in their order."""
    groups: dict[int, list[Trajectory]] = {}
    for t in batch:
        groups.setdefault(t.group, []).append(t)
    chosen = {id(t) for of in groups.values() for t in dice.sample(of, min(size, len(of)))}
    return [t for t in batch if id(t) in chosen]
