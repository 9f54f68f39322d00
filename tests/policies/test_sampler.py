"""The sampler's cache rows move and end at different steps; what it samples stays what each episode alone would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.policies.local.parameters import load_model
from pipelines.policies.local.sampler import Sampled, Sampler
from pipelines.policies.local.transformer import Weights, causal, forward, rotations, weights_of
from pipelines.protocols import GenerationRequest, SamplingSettings

NEVER = -1  # an end of message that is never sampled: the budgets say when a row ends

# What one episode is asked in one turn: None for nothing, else (tokens of the prompt, tokens to sample).
Asked = tuple[int, int] | None
ASKED = st.none() | st.tuples(st.sampled_from([1, 2, 5, 60, 140]), st.integers(1, 12))


@pytest.fixture(scope="module")
def weights(model_folder: Path) -> Weights:
    model = load_model(model_folder).requires_grad_(False)
    return weights_of(model, rotations(model))


def play(weights: Weights, turns: list[list[Asked]]) -> list[tuple[list[int], Sampled]]:
    """(context, what was sampled) of every request."""
    sampler = Sampler(weights, len(turns[0]), NEVER)
    contexts: list[list[int]] = [[] for _ in turns[0]]
    found = []
    for number, asked in enumerate(turns):
        requests = []
        for episode, ask in enumerate(asked):
            if ask is not None:
                prompt = np.random.default_rng([number, episode]).integers(0, 256, ask[0])
                contexts[episode] += prompt.tolist()
                seed = 100 * number + episode
                settings = SamplingSettings(1.0, max_tokens=ask[1])
                requests.append(GenerationRequest(episode, tuple(contexts[episode]), seed, settings))
        for request, sampled in zip(requests, sampler.generate(requests) if requests else [], strict=True):
            found.append((list(request.context_ids), sampled))
            contexts[request.episode] += sampled.ids.tolist()
    return found


@torch.no_grad()
def logprobs(weights: Weights, context: list[int], ids: list[int]) -> np.ndarray:
    """One pass over the whole sequence, nothing cached, nothing beside it."""
    tokens = torch.tensor([context + ids])
    hidden = forward(weights, tokens, torch.arange(tokens.shape[1]), causal)[0, len(context) - 1 : -1]
    logp = (hidden @ weights.lm_head.t()).log_softmax(-1)
    return logp.gather(1, torch.tensor(ids)[:, None])[:, 0].numpy()


def check(weights: Weights, turns: list[list[Asked]]) -> None:
    asked = [ask for turn in turns for ask in turn if ask is not None]
    found = play(weights, turns)
    assert [len(sampled.ids) for _, sampled in found] == [most for _, most in asked]
    for context, sampled in found:
        expected = logprobs(weights, context, sampled.ids.tolist())
        np.testing.assert_allclose(sampled.logprobs, expected, atol=2e-5)


def test_rows_that_end_early_make_room(weights: Weights) -> None:
    """Ten rows end one after the other, the first ones first, so that rows are swapped in every step; then those that
    were moved most are asked again."""
    check(weights, [[(5, 1 + i) for i in range(10)], [(2, 3)] * 10, [(2, 10 - i) for i in range(10)], [(1, 2)] * 10])


def test_prompts_of_very_different_length_are_prefilled_apart(weights: Weights) -> None:
    """12 × 140 tokens padded are more than the sampler takes at once."""
    check(
        weights, [[(140 if i % 3 == 0 else 1, 4) for i in range(12)], [(1 if i % 3 == 0 else 60, 4) for i in range(12)]]
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(ASKED, min_size=6, max_size=6), min_size=1, max_size=4))
def test_whoever_is_asked_whenever(weights: Weights, turns: list[list[Asked]]) -> None:
    check(weights, turns)
