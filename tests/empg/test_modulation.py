"""EMPG: hand-computed goldens (one per trap of the paper's notes), the plain-loop reference, and properties."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from empg import ARMS, EMPGConfig, modulate_advantages, spread_over_tokens, step_ids_from_spans, step_means
from empg.integrations.verl import modulate_token_advantages
from empg.modulation import Modulation
from tests.empg.reference import empg

E1 = math.exp(-1.0)
EH = math.exp(-0.5)


def f64(values: object) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(found: torch.Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(found, f64(expected), rtol=0, atol=2e-7)


# One batch worked by hand: two trajectories, A = 1 with H = (0, 2) and A = −1 with H = (1).
#   min 0, max 2 → H_norm = 0, 1, 1/2
#   exp(−H_norm) = 1, e⁻¹, e^−½; mean m = (1 + 0.36788 + 0.60653)/3 = 0.65814; g = 1/m, e⁻¹/m, e^−½/m
#   f: step 1 of the first looks at H_norm = 1 → e⁻¹; the two last steps have none
#   A_mod = 1/m + 0.05·e⁻¹, e⁻¹/m, −e^−½/m
ADVANTAGES, ENTROPIES, TRAJECTORIES = f64([1, 1, -1]), f64([0, 2, 1]), torch.tensor([7, 7, 3])
M = (1 + E1 + EH) / 3
RAW = [1 / M + 0.05 * E1, E1 / M, -EH / M]


def test_integer_advantages_do_not_cut_entropies() -> None:
    found = modulate_advantages(ADVANTAGES.long(), ENTROPIES, TRAJECTORIES, EMPGConfig())
    close(found.raw, RAW)


def test_golden_full_arm() -> None:
    found = modulate_advantages(ADVANTAGES, ENTROPIES, TRAJECTORIES, EMPGConfig())
    mean = sum(RAW) / 3
    close(found.normalized_entropy, [0, 1, 0.5])
    close(found.gain, [1 / M, E1 / M, EH / M])
    close(found.clarity, [E1, 0, 0])
    close(found.raw, RAW)
    close(found.advantages, [value - mean for value in RAW])


def test_golden_arms() -> None:
    def final(arm: str) -> torch.Tensor:
        return modulate_advantages(ADVANTAGES, ENTROPIES, TRAJECTORIES, EMPGConfig.arm(arm)).advantages

    close(final("off"), [1, 1, -1])
    close(final("center_only"), [2 / 3, 2 / 3, -4 / 3])  # the mean of 1, 1, −1 is 1/3
    scaled = [1 / M, E1 / M, -EH / M]
    close(final("gradient_scaling"), [value - sum(scaled) / 3 for value in scaled])
    bonus = [1 + 0.05 * E1, 1, -1]
    close(final("future_bonus"), [value - sum(bonus) / 3 for value in bonus])
    assert set(ARMS) == {"off", "gradient_scaling", "future_bonus", "full", "center_only"}


def test_trap1_steps_come_from_recorded_spans_in_any_layout() -> None:
    # One row, prompt of 2, actions at [2, 5) and [6, 8): the FIRST step is there although nothing precedes it.
    ids = step_ids_from_spans([(2, 5), (6, 8)], 8)
    assert ids.tolist() == [-1, -1, 0, 0, 0, -1, 1, 1]
    close(step_means(f64([9, 9, 1, 2, 3, 9, 4, 6]), ids, 2), [2, 5])
    # Each step its own row: the one step of the row is found as well.
    assert step_ids_from_spans([(1, 3)], 3).tolist() == [-1, 0, 0]


def test_trap2_both_layouts_give_the_same_advantages() -> None:
    # Steps with token entropies (1, 3) → 2 and (5) → 5; trajectory b has one step (4) → 4. A = 1, −1.
    config = EMPGConfig()
    full = modulate_token_advantages(
        f64([1, -1]),
        f64([[1, 3, 0, 5], [4, 0, 0, 0]]),
        torch.tensor([[1, 1, 0, 1], [1, 0, 0, 0]]),
        ["a", "b"],
        config,
        step_ids=torch.tensor([[0, 0, 0, 1], [0, 0, 0, 0]]),
    )
    rows = modulate_token_advantages(
        f64([1, 1, -1]), f64([[1, 3], [5, 0], [4, 0]]), torch.tensor([[1, 1], [1, 0], [1, 0]]), ["a", "a", "b"], config
    )
    expected = modulate_advantages(f64([1, 1, -1]), f64([2, 5, 4]), torch.tensor([0, 0, 1]), config).advantages
    torch.testing.assert_close(full, f64([[expected[0], expected[0], 0, expected[1]], [expected[2], 0, 0, 0]]))
    torch.testing.assert_close(rows, f64([[expected[0], expected[0]], [expected[1], 0], [expected[2], 0]]))


def test_trap3_padding_and_duplicated_rows_take_no_part() -> None:
    # A padding entropy of 99 would be the maximum, a duplicated row would move every mean.
    arguments = f64([[1, 99], [3, 99], [3, 99]]), torch.tensor([[1, 0], [1, 0], [1, 0]])
    duplicated = modulate_token_advantages(
        f64([1, -1, -1]), *arguments, ["a", "b", "b"], EMPGConfig(), duplicate=torch.tensor([False, False, True])
    )
    plain = modulate_advantages(f64([1, -1]), f64([1, 3]), torch.tensor([0, 1]), EMPGConfig()).advantages
    torch.testing.assert_close(duplicated[:2, 0], plain)
    assert duplicated[:, 1].tolist() == [0, 0, 0]


def test_trap3_min_and_max_are_over_steps_not_tokens() -> None:
    # Token entropies 0…4 within step one average to 2: the batch's range is [2, 3], not [0, 4].
    means = step_means(f64([0, 4, 3]), torch.tensor([0, 0, 1]), 2)
    found = modulate_advantages(f64([1, 1]), means, torch.tensor([0, 0]), EMPGConfig())
    close(found.normalized_entropy, [0, 1])


def test_trap4_each_step_is_scaled_once_by_its_own_gain() -> None:
    found = modulate_advantages(
        f64([2, 4, 6]), f64([0, 1, 2]), torch.tensor([0, 1, 2]), EMPGConfig.arm("full", zeta=0.0)
    )
    torch.testing.assert_close(found.raw, f64([2, 4, 6]) * found.gain)


def test_trap4_the_bonus_never_crosses_trajectories() -> None:
    # Interleaved rows: step order is by trajectory, not by neighbourhood.
    found = modulate_advantages(f64([0, 0, 0, 0]), f64([0, 1, 1, 0]), torch.tensor([0, 1, 0, 1]), EMPGConfig())
    close(found.clarity, [E1, 1, 0, 0])


def test_trap6_degenerate_batches_are_finite() -> None:
    equal = modulate_advantages(f64([1, -1, 1]), f64([2, 2, 2]), torch.tensor([0, 0, 1]), EMPGConfig())
    close(equal.normalized_entropy, [0, 0, 0])
    close(equal.gain, [1, 1, 1])
    close(equal.clarity, [1, 0, 0])
    single = modulate_advantages(f64([3]), f64([5]), torch.tensor([0]), EMPGConfig())
    close(single.gain, [1])
    close(single.advantages, [0])
    empty = modulate_advantages(f64([]), f64([]), torch.tensor([], dtype=torch.int64), EMPGConfig())
    assert empty.advantages.shape == (0,)


def test_trap7_a_zero_advantage_group_still_gets_the_bonus_minus_the_mean() -> None:
    # All A = 0, H = (0, 1) in one trajectory: A_mod = 0.05·e⁻¹, 0 → centred ± half of it.
    found = modulate_advantages(f64([0, 0]), f64([0, 1]), torch.tensor([0, 0]), EMPGConfig())
    close(found.advantages, [0.025 * E1, -0.025 * E1])


def test_trap8_the_last_step_has_no_bonus() -> None:
    found = modulate_advantages(f64([0, 0, 0]), f64([1, 1, 1]), torch.tensor([0, 0, 0]), EMPGConfig(zeta=0.3))
    close(found.raw, [0.3, 0.3, 0])


def test_group_normalization_is_within_groups() -> None:
    config = EMPGConfig(normalization="group")
    groups = torch.tensor([0, 0, 1, 1])
    found = modulate_advantages(f64([1, 1, 1, 1]), f64([0, 1, 10, 30]), torch.arange(4), config, group_ids=groups)
    close(found.normalized_entropy, [0, 1, 0, 1])
    close(found.gain.view(2, 2).mean(1), [1, 1])
    with pytest.raises(ValueError, match="needs group_ids"):
        modulate_advantages(f64([1]), f64([1]), torch.tensor([0]), config)


def test_entropies_that_hardly_differ_are_not_stretched() -> None:
    """Two groups, a trajectory of two steps each. H = 1/64, 3/64 spans 1/32 nats; H = 0, 1 spans 1.

    Least range 1/16: in the first group g = 1 and f = 0, so A_mod = A = 1, 1. In the second H_norm = 0, 1, m = (1 + e⁻¹)/2,
    g = 1/m, e⁻¹/m, f = e⁻¹, 0: A_mod = 1/m + .05e⁻¹, e⁻¹/m. A range that equals the least one is stretched.
    """
    groups, m = torch.tensor([0, 0, 1, 1]), (1 + E1) / 2

    def modulated(least: float, scope: str) -> Modulation:
        config = EMPGConfig(normalization=scope, min_range=least)  # type: ignore[arg-type]
        entropies = f64([1 / 64, 3 / 64, 0, 1])
        return modulate_advantages(f64([1, 1, 1, 1]), entropies, groups, config, group_ids=groups)

    found, raw = modulated(1 / 16, "group"), [1, 1, 1 / m + 0.05 * E1, E1 / m]
    close(found.gain, [1, 1, 1 / m, E1 / m])
    close(found.clarity, [0, 0, E1, 0])
    close(found.raw, raw)
    close(found.advantages, [value - sum(raw) / 4 for value in raw])
    close(modulated(1 / 32, "group").gain, [1 / m, E1 / m, 1 / m, E1 / m])
    close(modulated(1.5, "batch").gain, [1, 1, 1, 1])
    close(modulated(1.5, "batch").clarity, [0, 0, 0, 0])


@pytest.mark.parametrize("name", ["advantages", "entropies"])
def test_non_finite_input_is_named(name: str) -> None:
    tensors = {"advantages": f64([1, 2]), "entropies": f64([1, 2])}
    tensors[name] = f64([1, math.nan])
    with pytest.raises(ValueError, match=rf"{name} is not finite: {name}\[1\] = nan"):
        modulate_advantages(tensors["advantages"], tensors["entropies"], torch.tensor([0, 0]), EMPGConfig())


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="entropies has shape"):
        modulate_advantages(f64([1, 2]), f64([1]), torch.tensor([0, 0]), EMPGConfig())
    with pytest.raises(ValueError, match="step 1 of trajectory 0 stands twice"):
        modulate_advantages(
            f64([1, 2]), f64([1, 1]), torch.tensor([0, 0]), EMPGConfig(), step_index=torch.tensor([1, 1])
        )
    for wrong in ({"k": -1.0}, {"zeta": math.nan}, {"eps": 0.0}, {"normalization": "depends"}, {"min_range": -0.1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            EMPGConfig(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown arm"):
        EMPGConfig.arm("ful")


batches = st.lists(
    st.tuples(st.floats(-5, 5), st.lists(st.floats(0, 12), min_size=1, max_size=6)), min_size=1, max_size=6
)


def flatten(batch: list[tuple[float, list[float]]]) -> tuple[torch.Tensor, ...]:
    rows = [(a, h, i, t) for i, (a, hs) in enumerate(batch) for t, h in enumerate(hs)]
    a, h, i, t = zip(*rows, strict=True)
    return f64(a), f64(h), torch.tensor(i), torch.tensor(t)


@given(
    batches,
    st.sampled_from(["gradient_scaling", "future_bonus", "full", "center_only"]),
    st.floats(0, 3),
    st.floats(0, 1),
)
@settings(deadline=None)
def test_equals_the_plain_loop(batch: list[tuple[float, list[float]]], arm: str, k: float, zeta: float) -> None:
    a, h, i, _ = flatten(batch)
    found = modulate_advantages(a, h, i, EMPGConfig.arm(arm, k=k, k_future=k / 2, zeta=zeta))
    flags = ARMS[arm]
    expected = empg(
        batch, k=k, k_future=k / 2, zeta=zeta, scaling=flags["gradient_scaling"], bonus=flags["future_bonus"]
    )
    torch.testing.assert_close(found.advantages, f64([x for row in expected for x in row]), rtol=1e-9, atol=1e-9)


@given(batches, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_properties(batch: list[tuple[float, list[float]]], random: object) -> None:
    a, h, i, t = flatten(batch)
    found = modulate_advantages(a, h, i, EMPGConfig())
    n = len(a)
    assert torch.isfinite(found.advantages).all()
    assert abs(float(found.gain.mean()) - 1) < 1e-9
    assert abs(float(found.advantages.mean())) < 1e-9
    assert int((found.clarity == 0).sum()) == len(batch)  # one last step per trajectory
    order = list(range(n))
    random.shuffle(order)  # type: ignore[attr-defined]
    mixed = modulate_advantages(a[order], h[order], i[order], EMPGConfig(), step_index=t[order])
    torch.testing.assert_close(mixed.advantages, found.advantages[order], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(modulate_advantages(a, h, i, EMPGConfig.arm("off")).advantages, a, rtol=0, atol=0)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5))
@settings(deadline=None)
def test_spread_then_mean_is_the_identity(lengths: list[int]) -> None:
    spans, at = [], 0
    for length in lengths:
        spans.append((at + 1, at + 1 + length))
        at += 1 + length
    ids = step_ids_from_spans(spans, at)
    values = torch.arange(len(lengths), dtype=torch.float64)
    spread = spread_over_tokens(values, ids)
    assert spread[ids == -1].eq(0).all()
    torch.testing.assert_close(step_means(spread, ids, len(lengths)), values)


def test_spread_refuses_ids_of_no_step() -> None:
    assert spread_over_tokens(f64([1, 2]), torch.empty(0, dtype=torch.int64)).shape == (0,)
    with pytest.raises(ValueError, match="step id -2 is below -1"):
        spread_over_tokens(f64([1, 2]), torch.tensor([0, -2]))
    with pytest.raises(IndexError):
        spread_over_tokens(f64([1, 2]), torch.tensor([0, 3]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_long_step_of_halves_has_a_mean(dtype: torch.dtype) -> None:
    # 20,000 × 8 = 160,000 is beyond float16, and bfloat16 stops counting at 2,048.
    means = step_means(torch.full((20_000,), 8.0, dtype=dtype), torch.zeros(20_000, dtype=torch.int64), 1)
    assert means.dtype == dtype
    assert means.tolist() == [8]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_non_finite_token_values_are_named_unless_they_are_padding(bad: float) -> None:
    values, ids = f64([[1, bad], [3, 5]]).requires_grad_(), torch.tensor([[0, -1], [1, 1]])
    means = step_means(values, ids, 2)
    means.sum().backward()
    assert means.tolist() == [1, 4]
    assert values.grad is not None
    assert values.grad.tolist() == [[1, 0], [0.5, 0.5]]
    with pytest.raises(ValueError, match=rf"values is not finite: values\[0, 1\] = {bad}"):
        step_means(values, torch.tensor([[-1, 0], [1, 1]]), 2)


def test_tokens_of_a_step_may_stand_apart() -> None:
    means = step_means(torch.tensor([1, 10, 2, 20, 3]), torch.tensor([0, 1, 0, 1, -1]), 2)
    assert means.tolist() == [1.5, 15]


def test_steps_refuse_what_has_no_mean() -> None:
    with pytest.raises(ValueError, match=r"step id 2 is out of \[0, 2\)"):
        step_means(torch.ones(3), torch.tensor([0, 1, 2]), 2)
    with pytest.raises(ValueError, match=r"step id -2 is out of \[0, 2\)"):
        step_means(torch.ones(3), torch.tensor([0, 1, -2]), 2)
    with pytest.raises(ValueError, match="step 1 has no tokens"):
        step_means(f64([1]), torch.tensor([0]), 2)
    with pytest.raises(ValueError, match="overlaps"):
        step_ids_from_spans([(0, 2), (1, 3)], 4)


def test_no_tokens_at_all() -> None:
    nothing, no_ids = torch.zeros(2, 0), torch.zeros(2, 0, dtype=torch.int64)
    assert step_means(nothing, no_ids, 0).shape == (0,)
    with pytest.raises(ValueError, match="step 0 has no tokens"):
        step_means(nothing, no_ids, 1)
