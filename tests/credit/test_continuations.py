"""The path itself, from recorded episodes to values, in a world whose exact values are known."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.credit.oracle import Chosen, _table, choose
from pipelines.credit.values import Values
from pipelines.errors import ReplayDiffers
from pipelines.protocols import Generation, GenerationRequest, SamplingSettings
from pipelines.records import Trajectory
from pipelines.schemas import CONTINUATIONS
from pipelines.stages.continuations import continue_prefixes
from pipelines.stages.episodes import EpisodeSpec, play
from pipelines.stages.prefix import Prefix, prefix_identities
from tests.credit.toy import GOAL, STEPS, ToyBenchmark, ToySampler, World, toy_task
from tests.environments.in_process import InProcessPool, Script

WORLD = World(0)
SAMPLING = SamplingSettings(1.0, 1)
N = 200  # continuations


def pool(benchmark: Any, count: int) -> Any:
    return InProcessPool(benchmark, Path(), [Script(toy_task(0), ())] * count)


@pytest.fixture(scope="module")
def batch() -> list[Trajectory]:
    """Three tasks, six episodes of each."""
    specs = [EpisodeSpec(toy_task(g), g, m, 100 * g + m) for g in range(3) for m in range(6)]
    benchmark: Any = ToyBenchmark(WORLD)
    sampler: Any = ToySampler(WORLD)
    return play(sampler, pool(benchmark, len(specs)), benchmark, specs, SAMPLING).trajectories


def continued(batch: list[Trajectory], chosen: Chosen, sampler: Any, benchmark: Any) -> list[Any]:
    here = SimpleNamespace(at_once=None)
    view: Any = SimpleNamespace(seed=0, continuations=N, prefixes=chosen.prefixes, policy=here)
    count = N * len(chosen.prefixes)
    return continue_prefixes(view, sampler, pool(benchmark, count), benchmark, chosen.batch, sampling=SAMPLING)


def test_values_of_real_continuations_are_the_exact_ones(batch: list[Trajectory], tmp_path: Path) -> None:
    """A for nine steps, through replayed prefixes and the loop's own episodes: z has a mean square of about 1."""
    chosen = choose(batch, 9, seed=1)
    sampler, benchmark = ToySampler(WORLD), ToyBenchmark(WORLD)
    found = continued(batch, chosen, sampler, benchmark)
    assert [(c.group, c.member, c.length) for c in found[::N]] == list(chosen.prefixes)
    values = Values.of(np.array([c.reward for c in found]).reshape(-1, N))
    V, Q = WORLD.values()
    episodes = {(t.group, t.member): t for t in batch}
    for row, (group, member, length) in enumerate(chosen.prefixes):
        state = int(episodes[group, member].steps[length].state_before)
        assert abs(values.mean[row] - V[length, state]) < 4 * values.se[row]
        assert all(c.steps + length <= STEPS for c in found[row * N : (row + 1) * N])
    steps = [episodes[g, m].steps[t] for g, m, t in chosen.steps]
    pq.write_table(CONTINUATIONS.of(map(asdict, found)), tmp_path / CONTINUATIONS.file)
    part: Any = SimpleNamespace(path=lambda name: tmp_path / name)
    table = _table(0, chosen, [part], N)
    s, a = (np.array([int(x) for x in of]) for of in ([x.state_before for x in steps], [x.action for x in steps]))
    t = np.array([place[2] for place in chosen.steps])
    for of, world in ("", WORLD), ("success_", Paid(0)):
        V, Q = world.values()
        worth = {name: table[of + name].to_numpy() for name in ("A", "A_se", "A_first", "A_second")}
        z = (worth["A"] - (Q[t, s, a] - V[t, s])) / worth["A_se"]
        assert 0.2 < (z**2).mean() < 3
        assert np.allclose(worth["A_first"] + worth["A_second"], 2 * worth["A"])


class Paid(World):
    """Success alone counts."""

    def reward(self) -> np.ndarray:
        return np.asarray(self.next_SA == GOAL, np.float64)


def test_every_continuation_has_dice_of_its_own(batch: list[Trajectory]) -> None:
    """Also from before and behind one step: their errors are added up as independent ones."""

    class Recording(ToySampler):
        async def generate(self, request: GenerationRequest) -> Generation:
            seeds.append(request.seed)
            return await super().generate(request)

    seeds: list[int] = []
    continued(batch, choose(batch, 3, seed=1), Recording(WORLD), ToyBenchmark(WORLD))
    assert len(set(seeds)) == len(seeds)


def test_the_policy_goes_on_behind_the_recorded_tokens(batch: list[Trajectory]) -> None:
    """Its first context is the recorded one and the next prompt; the recorded steps stand in the trajectory as they were."""
    played = max(batch, key=lambda t: len(t.steps))
    length = len(played.steps) - 1
    prefix, sampler, benchmark = Prefix(played, length), ToySampler(WORLD), ToyBenchmark(WORLD)
    spec = EpisodeSpec(played.task, 0, 0, 7, prefix)
    (whole,) = play(sampler, pool(benchmark, 1), benchmark, [spec], SAMPLING).trajectories  # type: ignore[arg-type]
    tokens = [i for step in played.steps[:length] for i in (*step.prompt_ids.tolist(), *step.action_ids.tolist())]
    assert sampler.contexts[0] == (*tokens, *played.steps[length].prompt_ids.tolist())
    assert whole.steps[:length] == played.steps[:length]
    assert whole.steps[length].state_before == played.steps[length].state_before
    assert whole.reward == pytest.approx(sum(step.shaped_reward for step in whole.steps))
    with pytest.raises(ValueError, match="prefix of"):
        Prefix(played, length + 1)


def test_equal_prefixes_are_continued_once(batch: list[Trajectory]) -> None:
    """The starts of a task's episodes are one; what differs in a token, an action or the task is another."""
    chosen = choose(batch, 10**6, seed=0)
    assert len(chosen.steps) == sum(len(t.steps) for t in batch)
    starts = [place for place in chosen.prefixes if place[2] == 0]
    assert len(starts) == 3
    assert {chosen.same[group, member, 0] for group, member, _ in chosen.steps} == set(starts)
    first = batch[0]
    other = replace(first.steps[0], action_ids=first.steps[0].action_ids + 1)
    assert prefix_identities(first)[0] != prefix_identities(replace(first, task=toy_task(1)))[0]
    longer = next(t for t in batch if len(t.steps) > 1)
    changed = replace(longer, steps=(other, *longer.steps[1:]))
    assert prefix_identities(changed)[0] == prefix_identities(longer)[0]
    assert prefix_identities(changed)[1] != prefix_identities(longer)[1]


def test_steps_are_drawn_in_turns_over_tasks(batch: list[Trajectory]) -> None:
    first, again, other = (choose(batch, 6, seed).steps for seed in (0, 0, 1))
    assert first == again != other
    assert sorted(group for group, *_ in first) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("what", ["text", "state"])
def test_an_environment_that_answers_otherwise_is_named_with_the_step(batch: list[Trajectory], what: str) -> None:
    played = max(batch, key=lambda t: len(t.steps))
    steps = list(played.steps)
    field = {"text": "observation", "state": "state_after"}[what]
    steps[1] = replace(steps[1], **{field: "elsewhere"})
    altered = replace(played, steps=tuple(steps))
    chosen = choose([altered], 10**6, seed=0)
    with pytest.raises(ReplayDiffers, match=rf"member {played.member}.*step 1 \('{steps[1].action}'\).*'?elsewhere"):
        continued([altered], chosen, ToySampler(WORLD), ToyBenchmark(WORLD))


def test_another_prompt_than_the_recorded_is_reported(batch: list[Trajectory]) -> None:
    played = max(batch, key=lambda t: len(t.steps))
    altered = replace(
        played, steps=(replace(played.steps[0], prompt_ids=played.steps[0].prompt_ids + 1), *played.steps[1:])
    )
    chosen = choose([altered], 10**6, seed=0)
    with pytest.raises(ReplayDiffers, match=r"its start .*1 tokens"):
        continued([altered], chosen, ToySampler(WORLD), ToyBenchmark(WORLD))


def test_the_toys_penalty_is_the_platforms(batch: list[Trajectory]) -> None:
    reward = WORLD.reward()
    for t in batch:
        for step in t.steps:
            assert step.shaped_reward == pytest.approx(reward[int(step.state_before), int(step.action)])
