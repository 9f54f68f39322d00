"""Token log-prob and entropy: against torch's own distributions, any chunk size, forward and backward."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from empg import (
    expected_squared_score_norm,
    logprobs_and_entropy,
    logprobs_and_entropy_from_logits,
    renyi2_entropy,
    squared_score_norm,
)


def test_golden() -> None:
    # π = (1/2, 1/4, 1/4): H = ½·ln2 + ½·ln4 = 1.5·ln2; log π(1) = −ln4. Shifting logits changes nothing.
    logits = torch.tensor([[math.log(2.0), 0.0, 0.0]]) + 100.0
    logprob, entropy = logprobs_and_entropy_from_logits(logits, torch.tensor([1]))
    assert logprob.item() == pytest.approx(-math.log(4), abs=1e-5)
    assert entropy.item() == pytest.approx(1.5 * math.log(2), abs=1e-5)


@given(
    st.integers(1, 9),
    st.integers(1, 5),
    st.sampled_from([1, 2, 7, 100]),
    st.sampled_from([0.4, 1.0, 2.0]),
    st.integers(0, 99),
)
@settings(deadline=None, max_examples=40)
def test_both_forms_equal_the_distribution(rows: int, width: int, chunk: int, temperature: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, width, generator=generator, dtype=torch.float64)
    head = torch.randn(11, width, generator=generator, dtype=torch.float64)
    tokens = torch.randint(0, 11, (rows,), generator=generator)
    expected = torch.distributions.Categorical(logits=hidden @ head.t() / temperature)
    for logprob, entropy in (
        logprobs_and_entropy(hidden, head, tokens, temperature=temperature, chunk_size=chunk),
        logprobs_and_entropy_from_logits(hidden @ head.t(), tokens, temperature=temperature, chunk_size=chunk),
    ):
        torch.testing.assert_close(logprob, expected.log_prob(tokens))
        torch.testing.assert_close(entropy, expected.entropy())


def test_gradients() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(7, 5, dtype=torch.float64, requires_grad=True)
    head = torch.randn(11, 5, dtype=torch.float64, requires_grad=True)
    tokens = torch.randint(0, 11, (7,))
    assert torch.autograd.gradcheck(
        lambda h, w: logprobs_and_entropy(h, w, tokens, temperature=0.7, chunk_size=3), (hidden, head)
    )
    logits = torch.randn(2, 3, 11, dtype=torch.float64, requires_grad=True)
    chosen = torch.randint(0, 11, (2, 3))
    assert torch.autograd.gradcheck(
        lambda z: logprobs_and_entropy_from_logits(z, chosen, temperature=0.7, chunk_size=2), (logits,)
    )


def test_a_frozen_head_gets_no_gradient() -> None:
    hidden, head = torch.randn(3, 4, requires_grad=True), torch.randn(6, 4)
    logprobs_and_entropy(hidden, head, torch.tensor([0, 1, 2]))[0].sum().backward()
    assert hidden.grad is not None
    assert head.grad is None


def test_the_callers_logits_are_not_touched() -> None:
    logits = torch.randn(4, 9, requires_grad=True)
    before = logits.detach().clone()
    logprob, entropy = logprobs_and_entropy_from_logits(logits, torch.zeros(4, dtype=torch.int64))
    (logprob.sum() + entropy.sum()).backward()
    assert torch.equal(logits.detach(), before)


def test_bfloat16_is_reduced_in_float32() -> None:
    hidden, head = torch.randn(5, 8).bfloat16(), torch.randn(12, 8).bfloat16()
    logprob, entropy = logprobs_and_entropy(hidden, head, torch.zeros(5, dtype=torch.int64))
    assert logprob.dtype == entropy.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("masked", [-math.inf, "lowest"])
@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.0])
def test_a_masked_entry_counts_as_zero(dtype: torch.dtype, masked: float | str, temperature: float) -> None:
    # logits (0, ln3, −inf): as if the vocabulary had two entries, in both results and in the gradient.
    tokens, low = torch.tensor([1, 0, 1]), torch.finfo(dtype).min if masked == "lowest" else masked
    two = torch.tensor([[0.0, math.log(3.0)]] * 3, dtype=dtype, requires_grad=True)
    three = torch.cat([two.detach(), torch.full((3, 1), low, dtype=dtype)], 1).requires_grad_()
    results = []
    for logits in (two, three):
        logprob, entropy = logprobs_and_entropy_from_logits(logits, tokens, temperature=temperature, chunk_size=2)
        (5 * logprob - 7 * entropy).sum().backward()
        results.append((logprob, entropy))
    for expected, found in zip(*results, strict=True):
        assert torch.equal(found, expected)
    assert two.grad is not None
    assert three.grad is not None
    assert torch.equal(three.grad[:, :2], two.grad)
    assert three.grad[:, 2].tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_non_finite_logits_are_named(dtype: torch.dtype) -> None:
    tokens = torch.tensor([[0, 1], [2, 0]])
    for bad in (math.nan, math.inf):
        logits = torch.zeros(2, 2, 3, dtype=dtype)
        logits[1, 0, 1] = bad
        with pytest.raises(ValueError, match=rf"logits is not finite: logits\[1, 0, 1\] = {bad}"):
            logprobs_and_entropy_from_logits(logits, tokens)
    for masked in ([2], [0, 1, 2]):  # the chosen entry, or all
        logits = torch.zeros(2, 2, 3, dtype=dtype)
        logits[1, 0, masked] = -math.inf
        with pytest.raises(ValueError, match=r"logits masks a chosen token: logits\[1, 0, 2\] = -inf"):
            logprobs_and_entropy_from_logits(logits, tokens)
    with pytest.raises(ValueError, match=r"logprobs is not finite"):  # finite logits that temperature sends to infinity
        logprobs_and_entropy_from_logits(torch.tensor([[1e38, 0.0]]), torch.tensor([0]), temperature=0.1)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_non_finite_hidden_states_and_heads_are_named(bad: float) -> None:
    hidden, head, tokens = torch.ones(3, 2), torch.ones(4, 2), torch.tensor([0, 1, 2])
    wrong = hidden.clone()
    wrong[2, 1] = bad
    with pytest.raises(ValueError, match=rf"hidden is not finite: hidden\[2, 1\] = {bad}"):
        logprobs_and_entropy(wrong, head, tokens, chunk_size=2)
    wrong = head.clone()
    wrong[3, 0] = bad
    with pytest.raises(ValueError, match=rf"lm_head is not finite: lm_head\[3, 0\] = {bad}"):
        logprobs_and_entropy(hidden, wrong, tokens, chunk_size=2)
    with pytest.raises(ValueError, match=r"logprobs is not finite"):  # finite factors, a product beyond float32
        logprobs_and_entropy(hidden * 1e30, head * 1e30, tokens)


def test_wrong_shapes_and_temperature_are_refused() -> None:
    with pytest.raises(ValueError, match="hidden"):
        logprobs_and_entropy(torch.zeros(2, 3), torch.zeros(4, 5), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match="temperature"):
        logprobs_and_entropy_from_logits(torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64), temperature=0.0)


@pytest.mark.parametrize(
    ("tokens", "options", "message"),
    [
        (torch.tensor([0, 4]), {}, r"tokens\[1\] = 4 is out of \[0, 4\)"),
        (torch.tensor([-1, 9]), {}, r"tokens\[0\] = -1 is out of \[0, 4\)"),
        (torch.tensor([0.0, 1.5]), {}, r"tokens is torch\.float32: give integers"),
        (torch.tensor([True, False]), {}, r"tokens is torch\.bool: give integers"),
        (torch.tensor([0, 1]), {"chunk_size": -3}, r"chunk_size = -3 must be positive"),
    ],
)
def test_what_is_no_token_is_named(tokens: torch.Tensor, options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        logprobs_and_entropy(torch.zeros(2, 3), torch.zeros(4, 3), tokens, **options)
    with pytest.raises(ValueError, match=message):
        logprobs_and_entropy_from_logits(torch.zeros(2, 4), tokens, **options)


def test_the_place_of_a_token_out_of_range_is_that_of_its_tensor() -> None:
    tokens = torch.tensor([[0, 1], [2, 3], [7, 0]])
    with pytest.raises(ValueError, match=r"tokens\[2, 0\] = 7 is out of \[0, 4\)"):
        logprobs_and_entropy_from_logits(torch.zeros(3, 2, 4), tokens)


def test_mixed_dtypes_are_named() -> None:
    with pytest.raises(ValueError, match=r"hidden is torch\.float32 and lm_head torch\.bfloat16"):
        logprobs_and_entropy(torch.zeros(2, 3), torch.zeros(4, 3).bfloat16(), torch.tensor([0, 1]))


@pytest.mark.parametrize("tokens", [0, 2])
def test_an_empty_vocabulary_is_refused(tokens: int) -> None:
    with pytest.raises(ValueError, match="vocabulary is empty"):
        logprobs_and_entropy_from_logits(torch.zeros(tokens, 0), torch.zeros(tokens, dtype=torch.int64))
    with pytest.raises(ValueError, match="logits"):
        logprobs_and_entropy_from_logits(torch.tensor(0.0), torch.tensor(0))


@given(st.integers(0, 1000))
@settings(deadline=None, max_examples=25)
def test_proposition_1_by_autograd(seed: int) -> None:
    # E_a‖∇_z log π(a)‖² = 1 − exp(−H₂): the expectation is the exact sum over all actions, gradients by autograd.
    logits = torch.randn(6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3
    pi = logits.softmax(-1)
    expected = torch.zeros((), dtype=torch.float64)
    for action in range(6):
        z = logits.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(z.log_softmax(-1)[action], z)
        squared = gradient.square().sum()
        torch.testing.assert_close(squared_score_norm(logits, torch.tensor(action)), squared)
        expected += pi[action] * squared
    torch.testing.assert_close(expected_squared_score_norm(logits), expected)
    torch.testing.assert_close(renyi2_entropy(logits), -(pi**2).sum().log())
