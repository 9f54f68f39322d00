"""Estimators that tell an episode's steps apart, and AEM: goldens worked out by hand, plain loops, what each formula implies."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from empg.credit import AEM, GRAFT, GRPO, HGPO, OTB, RTMC, SALT, GiGPO, GraphGPO, GraphHCA
from empg.credit.batch import Credit
from empg.credit.groups import cells
from empg.credit.returns import clusters
from tests.empg import reference_credit as plain
from tests.empg.reference_credit import Episode, Move
from tests.empg.worlds import batch_of, episodes, f64, path

R2, R3, TINY = math.sqrt(2), math.sqrt(3), 1e-12
Loops = Callable[[list[Episode]], dict[plain.Step, float]]


def credit(estimator: Any, world: Iterable[Episode]) -> Credit:
    return estimator.estimate(batch_of(list(world)))


def assert_close(found: torch.Tensor, expected: list[float], atol: float = 1e-9) -> None:
    torch.testing.assert_close(found, f64(expected), rtol=1e-9, atol=atol)


# a → b → success, a → b cut off after one more step, a → e. The only success is worth 10: R = 10, 0, 0, mean 10/3, deviations 20/3,
# −10/3, −10/3, unbiased std 10/√3, so that GRPO gives 2/√3, −1/√3, −1/√3.
FORK = [path(7, 10, "abc"), path(7, 0, "abd"), path(7, 0, "ae")]


def test_golden_gigpo() -> None:
    """γ = ½: Ret = 5, 10 | 0, 0 | 0. In a: 5, 0, 0, as R above; in b: 10, 0, so ±1/√2."""
    found = credit(GiGPO(gamma=0.5, eps=TINY), FORK)
    assert_close(found.columns["A_S"], [2 / R3, 1 / R2, -1 / R3, -1 / R2, -1 / R3])
    assert_close(found.advantages_N, [4 / R3, 2 / R3 + 1 / R2, -2 / R3, -1 / R3 - 1 / R2, -2 / R3])
    means = credit(GiGPO(gamma=0.5, scale="none", weight=2.0), FORK)  # 20/3 + 2·(5 − 5/3), 20/3 + 2·5, …
    assert_close(means.advantages_N, [40 / 3, 50 / 3, -20 / 3, -40 / 3, -20 / 3])


def test_golden_gigpo_by_rows_counts_a_trajectory_once_for_each_step() -> None:
    """Rows 10, 10, 0, 0, 0: mean 4, Σ² = 2·36 + 3·16 = 120, std √30; a penalty lowers its own row alone: rows 10, 9.9, 0, 0, 0."""
    found = credit(GiGPO(pooling="rows", eps=TINY), FORK)
    assert_close(found.columns["A_E"], [6 / math.sqrt(30)] * 2 + [-4 / math.sqrt(30)] * 3)
    fined = replace(FORK[0], moves=(FORK[0].moves[0], replace(FORK[0].moves[1], penalty=0.1)))
    rows = credit(GiGPO(pooling="rows", scale="none"), [fined, *FORK[1:]])
    assert_close(rows.columns["A_E"], [10 - 3.98, 9.9 - 3.98, -3.98, -3.98, -3.98])
    assert_close(credit(GiGPO(scale="none"), [fined, *FORK[1:]]).columns["A_E"], [6.6, 6.6, -3.3, -3.3, -3.3])


def test_golden_hgpo() -> None:
    """γ = ½, K = 1. k = 1: a has 5, 0, population std 2.5: ±1; b has 10, 0, 0, mean 10/3, std 10√2/3: √2, −1/√2, −1/√2; e is alone.
    k = 2: after a, b has 10, 0: ±1; after e it is alone. Weights 2 and 3."""
    world = [path(0, 10, "abc"), path(0, 0, "abd"), path(0, 0, "ebf")]
    found = credit(HGPO(gamma=0.5, history=1, eps=TINY), world)
    assert_close(found.advantages_N, [1, (2 * R2 + 3) / 5, -1, (-R2 - 3) / 5, 0, -1 / R2])
    assert found.columns["k"].tolist() == [1, 2, 1, 2, 0, 1]


def test_golden_graphgpo() -> None:
    """c ends a success: d(b) = 1, d(a) = 2. From a: a → b twice, 10·.1² = .1, and a → a, 10·.1³ = .01; mean .07, deviations .03, −.06,
    .03, std √.0027 = .03√3. From b one step alone. Without the step itself everything is ten times that: the same."""
    world = [path(0, 10, "abc"), path(0, 0, "aab")]
    for distance in ("with_step", "after_step"):
        found = credit(GraphGPO(eps=TINY, distance=distance), world)
        assert_close(found.columns["A_S"], [1 / R3, 0, -2 / R3, 1 / R3])
        assert_close(found.advantages_N, [1 / R2 + 1 / R3, 1 / R2, -1 / R2 - 2 / R3, -1 / R2 + 1 / R3])
        assert found.columns["d"].tolist() == [1, 0, 2, 1]
    counted = credit(GraphGPO(scale="none"), world), credit(GraphGPO(scale="none", distance="after_step"), world)
    assert_close(counted[0].columns["A_S"], [0.03, 0, -0.06, 0.03])
    assert_close(counted[1].columns["A_S"], [0.3, 0, -0.6, 0.3])


def test_golden_graft() -> None:
    """γ = .9, λ = ½. b is left once to success, twice to failure: V(b) = .3, δ = .6 and −.3 of two edges, whose mean is .15.
    V(a) = .9·¾·.3 = .2025; a → b: δ = .27 − .2025 = .0675, and .45·.15 = .0675 behind it; a → e: −.2025. Two edges each: ±1."""
    found = credit(GRAFT(gamma=0.9, lam=0.5), [*FORK, path(7, 0, "abd")])
    assert_close(found.columns["V"], [0.2025, 0.3, 0.2025, 0.3, 0.2025, 0.2025, 0.3])
    assert_close(found.columns["A_edge"], [0.135, 0.6, 0.135, -0.3, -0.2025, 0.135, -0.3])
    assert_close(found.advantages_N, [1, 1, 1, -1, -1, 1, -1])


def test_golden_graphhca() -> None:
    """γ = ½: Φ(b) = ¼, Φ(a) = ⅛. From a both steps: ln ¼ − ln ⅛ = ln 2; from b to success −ln ¼, to failure ln .01 − ln ¼: ±1."""
    found = credit(GraphHCA(gamma=0.5, eps=TINY), FORK[:2])
    assert_close(found.columns["Phi"], [0.125, 0.25, 0.125, 0.25])
    assert_close(found.columns["l"], [math.log(2), math.log(4), math.log(2), math.log(0.04)])
    assert_close(found.advantages_N, [1 / R2, 1 / R2 + 1, -1 / R2, -1 / R2 - 1])


def test_golden_salt() -> None:
    """a → b is taken by the first two: (2/√3 − 1/√3) / 2. Whoever takes it twice counts once."""
    found = credit(SALT(eps=TINY), FORK)
    assert_close(found.advantages_N, [1 / (2 * R3), 2 / R3, 1 / (2 * R3), -1 / R3, -1 / R3])
    assert found.columns["shared"].tolist() == [2, 1, 2, 1, 1]
    loops = [Episode(0, 10, (Move("a", "w", "a"),) * 2), Episode(0, 0, (Move("a", "w", "a"),))]
    assert_close(credit(SALT(), loops).advantages_N, [0, 0, 0])


def test_golden_rtmc() -> None:
    """γ = ½: returns 5, 10 | 0, 0 | 0. Q(a, b) = 5/2, V(a) = 5/3, V(b) = 5. With two visits' worth of the mean 10/3: V(a) =
    (5 + 20/3)/5 = 7/3, V(b) = (10 + 20/3)/4 = 25/6."""
    bare = credit(RTMC(gamma=0.5, prior=0.0, scale="none"), FORK)
    assert_close(bare.advantages_N, [5 / 6, 5, 5 / 6, -5, -5 / 3])
    smooth = [1 / 6, 35 / 6, 1 / 6, -25 / 6, -7 / 3]
    assert_close(credit(RTMC(gamma=0.5, scale="none"), FORK).advantages_N, smooth)
    std = math.sqrt(sum(a * a for a in smooth) / 5 - (sum(smooth) / 5) ** 2)
    assert_close(credit(RTMC(gamma=0.5), FORK).advantages_N, [a / std for a in smooth])


def test_rtmc_holds_a_task_that_always_succeeds_against_an_undiscounted_prior() -> None:
    """Two trajectories a → b → success, paid 10, γ = ½: G(a) = 5, G(b) = 10. V(a) = (2·5 + 2·10)/4 = 15/2, V(b) = 10."""
    both = [Episode(0, 10, (Move("a", "x", "b"), Move("b", "x", "end")))] * 2
    assert_close(credit(RTMC(gamma=0.5, scale="none"), both).advantages_N, [-5 / 2, 0, -5 / 2, 0])
    for exact in (RTMC(gamma=1.0), RTMC(gamma=0.5, prior=0.0)):
        assert credit(exact, both).advantages_N.tolist() == [0, 0, 0, 0]


def test_golden_otb() -> None:
    """W: 1, 4, 6 | 2, 5. First steps: B = (10·1 + 0·2)/3; second: 10·4/9; the third has nobody beside it."""
    world = [
        Episode(0, 10, (Move("a", "x", "b", score=1), Move("b", "x", "c", score=3), Move("c", "x", "d", score=2))),
        Episode(0, 0, (Move("a", "y", "b", score=2), Move("b", "y", "c", score=3))),
    ]
    expected = [20 / 3, 50 / 9, 0, -10 / 3, -40 / 9]
    assert_close(credit(OTB(), world).advantages_N, expected, atol=1e-7)
    assert_close(credit(OTB(tail="none"), world).advantages_N, [*expected[:2], 10, *expected[3:]], atol=1e-7)
    assert credit(OTB(), world).columns["W"].tolist() == [1, 4, 6, 2, 5]
    with pytest.raises(ValueError, match=r"squared_score_N"):
        OTB().estimate(replace(batch_of(world), squared_score_N=None))


def test_golden_aem() -> None:
    """One task's H = 0, 1, ½, ½: weights 1, e⁻¹, e^−½, e^−½ over their mean. The other's .50 and .55 lie within .1: α = 1."""
    world = [
        Episode(0, 1, tuple(Move("a", "x", "a", entropy=h) for h in (0.0, 1.0))),
        Episode(0, 0, tuple(Move("a", "x", "a", entropy=h) for h in (0.5, 0.5))),
        Episode(1, 1, tuple(Move("a", "x", "a", entropy=h) for h in (0.5, 0.55))),
    ]
    weights = [1, math.exp(-1), math.exp(-0.5), math.exp(-0.5)]
    found = AEM().modulate(batch_of(world), f64([2.0] * 6))
    assert_close(found.advantages_N, [2 * w / (sum(weights) / 4) for w in weights] + [2, 2])
    assert_close(found.columns["H_norm"], [0, 1, 0.5, 0.5, 0, 1])


# ---------------------------------------------------------------------------------------------------------- plain loops

REFERENCES: list[tuple[Any, Loops]] = [
    (GiGPO(), plain.gigpo),
    (GiGPO(gamma=1.0, weight=0.5, pooling="rows"), lambda w: plain.gigpo(w, 1.0, 0.5, "rows")),
    (HGPO(), plain.hgpo),
    (HGPO(history=3, alpha=0.5), lambda w: plain.hgpo(w, history=3, alpha=0.5)),
    (GraphGPO(), plain.graphgpo),
    (GraphGPO(gamma=0.5, distance="after_step"), lambda w: plain.graphgpo(w, 0.5, with_step=False)),
    (GRAFT(), plain.graft),
    (GRAFT(gamma=0.9, lam=0.6), lambda w: plain.graft(w, 0.9, 0.6)),
    (GraphHCA(), plain.graphhca),
    (SALT(), plain.salt),
    (RTMC(), plain.rtmc),
    (RTMC(visits="every", prior=0.0, scale="none"), lambda w: plain.rtmc(w, prior=0.0, std=False, first=False)),
    (OTB(), plain.otb),
    (OTB(tail="none"), lambda w: plain.otb(w, "none")),
]


@pytest.mark.parametrize(("estimator", "loops"), REFERENCES, ids=[repr(estimator) for estimator, _ in REFERENCES])
@given(world=episodes())
@settings(deadline=None, max_examples=15)
def test_the_plain_loops_agree(estimator: Any, loops: Loops, world: list[Episode]) -> None:
    assume(any(episode.moves for episode in world))
    expected = loops(world)
    assert_close(credit(estimator, world).advantages_N, [expected[step] for step in plain.steps(world)], atol=1e-6)


@given(world=episodes())
@settings(deadline=None, max_examples=25)
def test_the_plain_loops_agree_about_aem(world: list[Episode]) -> None:
    assume(any(episode.moves for episode in world))
    batch = batch_of(world)
    before = GRPO().estimate(batch).advantages_N
    expected = plain.aem(world, dict(zip(plain.steps(world), before.tolist(), strict=True)))
    assert_close(AEM().modulate(batch, before).advantages_N, [expected[step] for step in plain.steps(world)])


# ---------------------------------------------------------------------------------------------- what a formula implies


@given(world=episodes())
@settings(deadline=None, max_examples=25)
def test_gigpo_without_its_steps_is_grpo(world: list[Episode]) -> None:
    batch = batch_of(world)
    assert torch.equal(GiGPO(weight=0.0).estimate(batch).advantages_N, GRPO().estimate(batch).advantages_N)


def test_gigpo_where_every_state_is_seen_once_is_its_episode() -> None:
    found = credit(GiGPO(), [path(0, 10, "abc"), path(0, 0, "def")])
    assert not found.columns["A_S"].any()
    assert torch.equal(found.advantages_N, found.columns["A_E"])


def test_gigpo_in_one_state_normalises_all_returns_at_once() -> None:
    """γ = ½: returns 2.5, 5, 10 and 0, all in a."""
    found = credit(GiGPO(gamma=0.5, eps=TINY), [path(0, 10, "aaaa", "xyz"), path(0, 0, "aa", "x")])
    returns = f64([2.5, 5, 10, 0])
    torch.testing.assert_close(found.columns["A_S"], (returns - returns.mean()) / returns.std())


def test_gigpo_where_returns_are_equal_gives_nothing() -> None:
    assert not credit(
        GiGPO(), [path(0, 10, "ab"), path(0, 10, "ab"), path(1, 0, "abc"), path(1, 0, "ab")]
    ).advantages_N.any()


def test_states_of_different_tasks_are_different() -> None:
    assert not credit(GiGPO(), [path(0, 10, "ab"), path(1, 0, "ab")]).advantages_N.any()


def test_similar_states_count_as_equal_when_asked() -> None:
    """Ratios by difflib: the kitchens' texts share 19 of their 20 letters: .95."""
    world = [
        Episode(0, 10, (Move("You are in kitchen 1", "x", "end"),)),
        Episode(0, 0, (Move("You are in kitchen 2", "x", "end"),)),
        Episode(0, 0, (Move("A garden", "x", "end"),)),
    ]
    assert not credit(GiGPO(), world).columns["A_S"].any()
    similar = credit(GiGPO(similarity=0.95, eps=TINY), world)
    assert_close(similar.columns["A_S"], [1 / R2, -1 / R2, 0])


@given(world=episodes())
@settings(deadline=None, max_examples=25)
def test_hgpo_without_history_is_gigpos_step_by_the_population(world: list[Episode]) -> None:
    batch = batch_of(world)
    found = HGPO(history=0, eps=1e-9).estimate(batch).advantages_N
    within = cells(batch.group_N, batch.state_before_N)
    size = torch.bincount(within)[within].double() if len(within) else found
    unbiased = GiGPO(eps=1e-9).estimate(batch).columns["A_S"]  # by √(n/(n − 1)) smaller
    torch.testing.assert_close(found, unbiased * (size / (size - 1).clamp(min=1)).sqrt(), rtol=1e-6, atol=1e-6)


@given(world=episodes())
@settings(deadline=None, max_examples=25)
def test_hgpos_clusters_lie_within_those_of_a_shorter_history(world: list[Episode]) -> None:
    shorter, longer = (ids.tolist() for ids in clusters(batch_of(world), 2))
    assert len(set(zip(longer, shorter, strict=True))) == len(set(longer))


def test_graphgpo_ignores_a_failure_elsewhere() -> None:
    world = [path(0, 10, "abcd"), path(0, 0, "aab")]
    alone, beside = (credit(GraphGPO(), w).columns["d"] for w in (world, [*world, path(0, 0, "xyz")]))
    assert beside[: len(alone)].tolist() == alone.tolist()
    assert beside[len(alone) :].tolist() == [4, 4]  # the farthest is 3 away


def test_graphgpo_without_a_success_is_its_episode() -> None:
    fined = Episode(0, 0, (Move("a", "x", "a", penalty=0.1),))
    found = credit(GraphGPO(), [fined, path(0, 0, "ab")])
    assert not found.columns["A_S"].any()
    assert_close(found.advantages_N, [-1 / R2, 1 / R2], atol=1e-4)


@given(st.lists(st.tuples(st.text("xy", min_size=1, max_size=4), st.booleans()), min_size=1, max_size=6))
@settings(deadline=None, max_examples=25)
def test_graft_on_a_tree_values_a_state_by_its_leaves(leaves: list[tuple[str, bool]]) -> None:
    """States are the actions so far: V = mean of γ^(steps left)·R over the episodes through it; γ = λ = 1 adds up to R − V."""
    world = [
        Episode(0, 10.0 * won, tuple(Move(f"^{word[:t]}", word[t], f"^{word[: t + 1]}") for t in range(len(word))))
        for word, won in leaves
    ]
    values = credit(GRAFT(gamma=0.9), world).columns["V"].tolist()
    for (i, t), value in zip(plain.steps(world), values, strict=True):
        through = [(w, won) for w, won in leaves if w[:t] == leaves[i][0][:t] and len(w) > t]
        assert value == pytest.approx(sum(0.9 ** (len(w) - t) * won for w, won in through) / len(through))


def test_graft_telescopes_where_states_are_unique() -> None:
    """γ = λ = 1: what an edge and all behind it gain is R − V(s_0), and nothing is undecided once the ways have parted."""
    found = credit(GRAFT(gamma=1.0, lam=1.0), [path(0, 10, "abcd"), path(0, 0, "aefg"), path(0, 0, "ahij")])
    assert_close(found.columns["A_edge"], [2 / 3, 0, 0, -1 / 3, 0, 0, -1 / 3, 0, 0])


@given(world=episodes())
@settings(deadline=None, max_examples=25)
def test_graphhcas_changes_add_up_to_the_episodes_own(world: list[Episode]) -> None:
    batch = batch_of(world)
    found = GraphHCA().estimate(batch)
    for i, episode in enumerate(world):
        if episode.moves:
            mine = batch.trajectory_N == i
            start = max(float(found.columns["Phi"][mine & (batch.index_N == 0)]), 0.01)
            end = 1.0 if episode.success else 0.01
            assert float(found.columns["l"][mine].sum()) == pytest.approx(math.log(end) - math.log(start), abs=1e-9)
