"""The clipped objective by hand: every branch of the clip, aggregation, KL estimators, micro-batch invariance."""

from __future__ import annotations

import math
from dataclasses import astuple, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from empg import LossSettings, aggregate, kl_estimate, policy_loss
from empg.checks import all_finite, require_finite
from empg.objective import denominator


def f64(values: object) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


INSIDE = {"logprobs": -1.0, "old_logprobs": -1.1, "advantages": 2.0, "entropies": 0.7, "reference_logprobs": -1.5}


def loss_of(ratio: float, advantage: float, **settings: object) -> float:
    one = torch.ones(1, 1, dtype=torch.bool)
    loss, _ = policy_loss(f64([[math.log(ratio)]]), f64([[0.0]]), f64([[advantage]]), one, LossSettings(**settings))  # type: ignore[arg-type]
    return float(loss)


@pytest.mark.parametrize(
    ("ratio", "advantage", "settings", "expected"),
    [
        (1.1, 2.0, {}, -2.2),  # inside the clip: −ρA
        (1.5, 2.0, {}, -2.4),  # A > 0, ρ above 1.2: −1.2·2
        (0.5, 2.0, {}, -1.0),  # A > 0, ρ below: the pessimistic branch is the plain one
        (0.5, -2.0, {}, 1.6),  # A < 0, ρ below 0.8: 0.8·2
        (1.5, -2.0, {}, 3.0),  # A < 0, ρ above: plain
        (1.25, 2.0, {"clip_high": 0.28}, -2.5),  # clip-higher lets 1.25 through
        (1.5, 2.0, {"clip_high": 0.28}, -2.56),  # and stops at 1.28
        (5.0, -2.0, {"dual_clip": 3.0}, 6.0),  # dual clip bounds the loss at −3·A
        (5.0, -2.0, {}, 10.0),
        (5.0, 2.0, {"dual_clip": 3.0}, -2.4),  # and does nothing for A > 0
    ],
)
def test_golden_surrogate(ratio: float, advantage: float, settings: dict[str, object], expected: float) -> None:
    assert loss_of(ratio, advantage, **settings) == pytest.approx(expected, abs=1e-12)


def test_golden_aggregation() -> None:
    values, mask = f64([[1, 2, 3], [4, 9, 9]]), torch.tensor([[True, True, True], [True, False, False]])
    assert float(aggregate(values, mask, "token-mean")) == 2.5  # (1 + 2 + 3 + 4) / 4
    assert float(aggregate(values, mask, "sequence-mean")) == 3.0  # (2 + 4) / 2
    with pytest.raises(ValueError, match="no token"):
        aggregate(values, mask & False, "token-mean")
    # Dr. GRPO's: each sum divided by 8, however long its sequence; the mean of 6/8 and 4/8. A row without a token is none.
    assert float(aggregate(values, mask, "constant-length", length=8)) == 0.625
    without = torch.cat([mask, torch.zeros(1, 3, dtype=torch.bool)])
    assert float(aggregate(torch.cat([values, values[:1]]), without, "constant-length", length=8)) == 0.625


def test_golden_dr_grpo() -> None:
    """Two answers of 3 and 1 tokens with advantages −1 and 2, on policy: (−(−1)·3 + −2·1) / (2·4) = 1/8. A token's gradient is −A/8
    wherever it stands; a token mean would give −A/4 (of 4 tokens), a sequence mean −A/6 and −A/2."""
    mask = torch.tensor([[True, True, True], [True, False, False]])
    logprobs = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    how = LossSettings(aggregation="constant-length", length=4)
    loss, metrics = policy_loss(logprobs, logprobs.detach(), f64([[-1] * 3, [2] * 3]), mask, how)
    loss.backward()
    assert loss.item() == metrics.policy_loss.item() == 0.125
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [[0.125] * 3, [-0.25, 0, 0]]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(*[st.floats(-2, 2)] * 4, st.booleans()), min_size=1, max_size=4), min_size=1, max_size=4
    ),
    st.integers(1, 9),
)
def test_dr_grpo_is_the_plain_loops(rows: list[list[tuple[float, float, float, float, bool]]], length: int) -> None:
    """Advantages, log-probs, entropies and what is no action, of rows of any length. TRL's ``dr_grpo`` is
    (loss · mask).sum() / (B · L), with the KL and entropy terms in the same sum."""
    widest, total, rows_with = max(map(len, rows)), 0.0, 0
    for row in rows:
        rows_with += any(is_action for *_, is_action in row)
        for advantage, new, old, entropy, is_action in row:
            ratio = math.exp(new - old)
            surrogate = -min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage)
            kl = math.exp(-new) - 1 + new  # k3 against a reference of log-prob 0
            total += (surrogate + 0.1 * kl - 0.01 * entropy) if is_action else 0.0
    if not rows_with:
        return
    columns = [f64([[token[i] for token in row] + [0.0] * (widest - len(row)) for row in rows]) for i in range(4)]
    advantages, new, old, entropies = columns
    mask = torch.tensor([[token[4] for token in row] + [False] * (widest - len(row)) for row in rows])
    how = LossSettings(aggregation="constant-length", length=length, kl_coefficient=0.1, entropy_coefficient=0.01)
    more = {"entropies": entropies, "reference_logprobs": torch.zeros_like(new)}
    loss, _ = policy_loss(new, old, advantages, mask, how, **more)
    assert loss.item() == pytest.approx(total / (rows_with * length), rel=1e-9, abs=1e-12)


def test_golden_kl_estimators() -> None:
    # log π = −1, log π_ref = −1.5: k1 = 0.5, k2 = 0.125, k3 = e^−0.5 − 1 + 0.5
    logp, ref = f64([-1.0]), f64([-1.5])
    assert float(kl_estimate(logp, ref, "k1")) == 0.5
    assert float(kl_estimate(logp, ref, "k2")) == 0.125
    assert float(kl_estimate(logp, ref, "k3")) == pytest.approx(math.exp(-0.5) - 0.5)
    assert float(kl_estimate(f64([-1.0]), f64([-1.0]), "k3")) == 0.0


def test_golden_full_loss() -> None:
    # ρ = 1, A = 2 → −2; KL k3 as above with coefficient 0.1; entropy 0.7 with coefficient 0.01
    loss, metrics = policy_loss(
        f64([[-1.0]]), f64([[-1.0]]), f64([[2.0]]), torch.ones(1, 1, dtype=torch.bool),
        LossSettings(kl_coefficient=0.1, entropy_coefficient=0.01),
        entropies=f64([[0.7]]), reference_logprobs=f64([[-1.5]]),
    )  # fmt: skip
    assert float(loss) == pytest.approx(-2 + 0.1 * (math.exp(-0.5) - 0.5) - 0.007)
    assert float(metrics.ratio) == 1.0
    assert float(metrics.clipped_low) == float(metrics.clipped_high) == 0.0


@pytest.mark.parametrize("aggregation", ["token-mean", "sequence-mean", "constant-length"])
def test_micro_batches_sum_to_the_mini_batch(aggregation: str) -> None:
    torch.manual_seed(0)
    length = 7 if aggregation == "constant-length" else None
    settings = LossSettings(kl_coefficient=0.1, entropy_coefficient=0.01, aggregation=aggregation, length=length)  # type: ignore[arg-type]
    old, advantages, entropies, reference = (torch.randn(6, 5, dtype=torch.float64) for _ in range(4))
    mask = torch.rand(6, 5) > 0.4
    mask[:, 0] = True

    def gradient(parts: list[list[int]]) -> torch.Tensor:
        logprobs = (old + 0.3).requires_grad_()
        total = denominator(mask, settings.aggregation, settings.length)
        for rows in parts:
            loss, _ = policy_loss(
                logprobs[rows], old[rows], advantages[rows], mask[rows], settings,
                entropies=entropies[rows], reference_logprobs=reference[rows], total=total,
            )  # fmt: skip
            loss.backward()
        assert logprobs.grad is not None
        return logprobs.grad

    torch.testing.assert_close(gradient([[0, 1, 2, 3, 4, 5]]), gradient([[3], [0, 5], [1, 2, 4]]))


@pytest.mark.parametrize("outside", [-1e30, -math.inf, math.inf, math.nan])
@pytest.mark.parametrize("estimator", [None, "k1", "k2", "k3"])
@pytest.mark.parametrize("aggregation", ["token-mean", "sequence-mean"])
def test_what_stands_outside_the_mask_reaches_nothing(outside: float, estimator: str | None, aggregation: str) -> None:
    mask = torch.tensor([[True, False]])
    settings = LossSettings(aggregation=aggregation, dual_clip=3.0)  # type: ignore[arg-type]
    if estimator is not None:
        settings = replace(settings, kl_coefficient=0.1, kl_estimator=estimator, entropy_coefficient=0.01)  # type: ignore[arg-type]

    def results(filler: dict[str, float]) -> list[object]:
        def row(name: str, value: float) -> torch.Tensor:
            return f64([[value, filler.get(name, 0.0)]]).requires_grad_()

        inputs = [row(name, value) for name, value in INSIDE.items()]
        logprobs, old, advantages, entropies, reference = inputs
        more = {} if estimator is None else {"entropies": entropies, "reference_logprobs": reference}
        loss, metrics = policy_loss(logprobs, old, advantages, mask, settings, **more)
        loss.backward()
        gradients = [x.grad.tolist() for x in inputs if x.grad is not None]
        return [loss.item(), *(value.item() for value in astuple(metrics)), *gradients]

    expected = results({})
    assert all(math.isfinite(x) for x in expected if isinstance(x, float))
    for name in INSIDE:
        assert results({name: outside}) == expected
    assert results(dict.fromkeys(INSIDE, outside)) == expected


@pytest.mark.parametrize("name", ["logprobs", "old_logprobs", "advantages", "entropies", "reference_logprobs"])
@pytest.mark.parametrize("bad", [-math.inf, math.inf, math.nan])
def test_what_the_mask_selects_must_be_finite(name: str, bad: float) -> None:
    tensors = {key: f64([[0.0, value]]) for key, value in INSIDE.items()}
    tensors[name][0, 1] = bad
    with pytest.raises(ValueError, match=rf"^{name} is not finite: {name}\[0, 1\] = {bad}"):
        policy_loss(mask=torch.tensor([[False, True]]), settings=LossSettings(), **tensors)


def test_finite_values_whose_sum_is_not_are_no_error() -> None:
    values = torch.full((1, 4), 6e4, dtype=torch.float16)  # their float16 sum is infinite
    require_finite(values=values)
    assert not all_finite(values)


def test_wrong_settings_are_refused() -> None:
    for wrong in (
        {"clip_low": 1.5}, {"dual_clip": 0.5}, {"aggregation": "mean"}, {"kl_estimator": "k4"}, {"length": 3},
        {"aggregation": "constant-length"}, {"aggregation": "constant-length", "length": 0},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(wrong))):
            LossSettings(**wrong)  # type: ignore[arg-type]
    one = torch.ones(1, 1)
    with pytest.raises(ValueError, match="needs reference_logprobs"):
        policy_loss(one, one, one, one.bool(), LossSettings(kl_coefficient=0.1))
    with pytest.raises(ValueError, match=r"advantages is not finite"):
        policy_loss(one, one, one * math.nan, one.bool(), LossSettings())
