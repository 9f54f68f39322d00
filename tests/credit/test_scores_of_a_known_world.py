"""Scores of every estimator in a world whose exact advantages are known, and among drawn members."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from empg.credit import ESTIMATORS
from pipelines.config.views import AdvantageView
from pipelines.credit.group_sizes import REPEATS, members, score_with
from pipelines.credit.methods import methods
from pipelines.credit.replay import advantages
from pipelines.credit.scores import score
from pipelines.credit.truth import Measured, Truth
from pipelines.credit.values import Values
from pipelines.protocols import SamplingSettings
from pipelines.records import Trajectory
from pipelines.seeds import derive_seed
from pipelines.stages.episodes import EpisodeSpec, play
from tests.credit.toy import STATES, STEPS, ToyBenchmark, ToySampler, World, toy_task
from tests.credit.truths import known
from tests.environments.in_process import InProcessPool, Script
from tests.pipelines.played import trajectory


def test_members_are_drawn_from_every_group() -> None:
    batch = [trajectory(g, m) for g in range(3) for m in range(5)] + [trajectory(9, 0)]
    drawn = members(batch, 2, random.Random(0))
    assert [t.group for t in drawn] == [0, 0, 1, 1, 2, 2, 9]
    assert [t for t in batch if t in drawn] == drawn


@pytest.fixture(scope="module")
def played() -> tuple[list[World], list[Trajectory]]:
    """Forty tasks in eight worlds, eight episodes of each."""
    worlds, batch = [World(seed) for seed in range(8)], list[Trajectory]()
    for number, world in enumerate(worlds):
        specs = [
            EpisodeSpec(toy_task(s), STATES * number + s, m, 1000 * number + 100 * s + m)
            for s in range(STATES)
            for m in range(8)
        ]
        pool: Any = InProcessPool(ToyBenchmark(world), Path(), [Script(toy_task(0), ())] * len(specs))  # type: ignore[arg-type]
        batch += play(ToySampler(world), pool, ToyBenchmark(world), specs, SamplingSettings(1.0, 1)).trajectories  # type: ignore[arg-type]
    return worlds, batch


def test_measured_scores_of_every_estimator_are_its_exact_ones(played: tuple[list[World], list[Trajectory]]) -> None:
    """Against an oracle of 32 simulated continuations, and against dynamic programming: the exact error lies within the measured one's
    interval, and the rank correlation, corrected for the oracle's error, near the exact one."""
    worlds, batch = played
    exact, measured = _truths(worlds, batch)
    own: Any = AdvantageView.model_validate({"estimator": {"name": "grpo"}, "modulator": {"arm": "off"}, "credit": {}})
    views = methods(own, [name for name in ESTIMATORS if name != "otb"], ["off"], {})
    estimates = {name: advantages(batch, view).astype(np.float64) for name, view in views.items()}
    estimates["nothing"] = np.zeros(len(exact.mean))
    at_once, truly = score(estimates, measured), score(estimates, exact, resamples=2)
    low, high = at_once.interval("mse")
    assert ((low <= truly.values["mse"]) & (truly.values["mse"] <= high)).all()
    np.testing.assert_allclose(at_once.values["mse"], truly.values["mse"], rtol=0.1)
    of_nothing = at_once.values["mse"][-1] - truly.values["mse"][-1]
    assert abs(of_nothing) < 0.5 * (measured.se**2).mean()  # without the correction it would be once that
    np.testing.assert_allclose(at_once.values["rank_corrected"], truly.values["rank"], atol=0.1)
    assert (at_once.values["rank"] < at_once.values["rank_corrected"] + 1e-9).all()
    assert at_once.values["unexplained"].min() < 1


def _truths(worlds: list[World], batch: list[Trajectory]) -> tuple[Truth, Truth]:
    rng, tables = np.random.default_rng(0), [world.values() for world in worlds]
    rows = [(t.group // STATES, i, int(s.state_before), int(s.action)) for t in batch for i, s in enumerate(t.steps)]
    A = [tables[w][1][t, s, a] - tables[w][0][t, s] for w, t, s, a in rows]
    tasks, lengths = zip(*((t.group, len(t.steps)) for t in batch for _ in t.steps), strict=True)
    values = [
        Values.of(np.array([
            _returns(worlds[w], t + after, int(worlds[w].next_SA[s, a]) if after else s, rng) for w, t, s, a in rows
        ]))
        for after in (0, 1)
    ]  # fmt: skip
    over = np.array([worlds[w].next_SA[s, a] >= STATES or t + 1 == STEPS for w, t, s, a in rows])
    found = values[1].where(~over).plus(np.array([worlds[w].reward()[s, a] for w, _, s, a in rows])).minus(values[0])
    low, high = found.interval()
    exact = known(A, tasks, lengths)
    return exact, replace(
        exact, mean=found.mean, se=found.se, low=low, high=high, first=found.first, second=found.second
    )


def _returns(world: World, played: int, state: int, rng: np.random.Generator) -> np.ndarray:
    return world.returns(np.full(32, state), np.full(32, played), rng)


def test_members_that_are_drawn_are_credited_among_themselves(played: tuple[list[World], list[Trajectory]]) -> None:
    """Two of each group: half the difference of their rewards, by plain loops over the drawings."""
    batch = played[1][:40]
    rng, keys = np.random.default_rng(4), [(t.group, t.member, i) for t in batch for i in range(len(t.steps))]
    A, zeros = rng.normal(size=len(keys)), np.zeros(len(keys))
    columns = dict.fromkeys(("A", "A_low", "A_high", "A_first", "A_second"), A)
    oracle = pa.table({
        "iteration": np.zeros(len(keys), np.int32), "task_id": [str(g) for g, *_ in keys], "steps": zeros, "A_se": zeros, **columns,
        **dict(zip(("group", "member", "step"), zip(*keys, strict=True), strict=True)),
    })  # fmt: skip
    own: Any = AdvantageView.model_validate({"estimator": {"name": "grpo"}, "modulator": {"arm": "off"}, "credit": {}})
    found = score_with(2, {0: batch}, methods(own, ["dr_grpo"], ["off"], {}), Measured.of(oracle))
    worth, errors = dict(zip(keys, A, strict=True)), []
    for repeat in range(REPEATS):
        drawn = members(batch, 2, random.Random(derive_seed(0, "members", repeat)))
        for one, two in zip(drawn[::2], drawn[1::2], strict=True):
            for t, other in (one, two), (two, one):
                credit = (t.reward - other.reward) / 2
                errors += [(credit - worth[t.group, t.member, i]) ** 2 for i in range(len(t.steps))]
    assert found.values["mse"] == pytest.approx([np.mean(errors)])
