"""The decoder's cache rows move and end at different steps; what it samples stays what each episode alone would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.policies.local.decoding import CachedDecoder
from pipelines.policies.local.parameters import load_model
from pipelines.policies.local.sampling import Sampled
from pipelines.policies.local.transformer import Weights, causal, forward, weights_of
from pipelines.protocols import GenerationRequest, SamplingSettings

TEMPERATURES = (1.0, 0.7, 0.0)  # of episodes in turn
NEVER = frozenset({-1})  # an end that is never sampled: the budgets say when a row ends

# What one episode is asked in one turn: None for nothing, else (tokens of the prompt, tokens to sample).
Asked = tuple[int, int] | None
ASKED = st.none() | st.tuples(st.sampled_from([1, 2, 5, 60, 140]), st.integers(1, 12))


@pytest.fixture(scope="module")
def weights(model_folder: Path) -> Weights:
    model = load_model(model_folder, frozen=True)
    return weights_of(model)


def play(weights: Weights, turns: list[list[Asked]], ends: frozenset[int]) -> list[tuple[GenerationRequest, Sampled]]:
    """Every request and what was sampled for it."""
    decoder = CachedDecoder(weights, len(turns[0]), ends)
    contexts: list[list[int]] = [[] for _ in turns[0]]
    found = []
    for number, asked in enumerate(turns):
        requests = []
        for episode, ask in enumerate(asked):
            if ask is not None:
                prompt = np.random.default_rng([number, episode]).integers(0, 256, ask[0])
                contexts[episode] += prompt.tolist()
                settings = SamplingSettings(TEMPERATURES[episode % 3], max_tokens=ask[1])
                requests.append(GenerationRequest(episode, tuple(contexts[episode]), 100 * number + episode, settings))
        for request, sampled in zip(requests, decoder.generate(requests) if requests else [], strict=True):
            found.append((request, sampled))
            contexts[request.episode] += sampled.ids.tolist()
    return found


@torch.no_grad()
def logits_of(weights: Weights, context: list[int], ids: list[int]) -> torch.Tensor:
    """float64 [ids, V]: one pass over the whole sequence, nothing cached, nothing beside it."""
    tokens = torch.tensor([context + ids])
    hidden = forward(weights, tokens, torch.arange(tokens.shape[1]), causal)[len(context) - 1 : -1]
    return (hidden @ weights.lm_head.t()).double()


def check(weights: Weights, turns: list[list[Asked]], ends: frozenset[int] = NEVER) -> list[Sampled]:
    """Each token is where the request's own dice fall in its own distribution, at its own temperature."""
    found = play(weights, turns, ends)
    for request, sampled in found:
        ids, most = sampled.ids.tolist(), request.sampling.max_tokens
        ended = [n + 1 for n, token in enumerate(ids) if token in ends]
        assert len(ids) == (ended[0] if ended else most) <= most
        logits, temperature = logits_of(weights, list(request.context_ids), ids), request.sampling.temperature
        p = (logits / (temperature or 1.0)).softmax(-1).numpy()
        at = np.arange(len(ids))
        np.testing.assert_allclose(sampled.logprobs, np.log(p[at, ids]), atol=2e-5)
        np.testing.assert_allclose(sampled.entropies, -(p * np.log(p)).sum(-1), atol=2e-5)
        if temperature == 0:
            assert (logits[at, ids] >= logits.max(-1).values - 1e-4).all()
        else:
            dice = np.random.Generator(np.random.Philox(key=request.seed)).random(most)[: len(ids)]
            above = p.cumsum(-1)[at, ids]
            assert (above - p[at, ids] - 1e-5 <= dice).all()
            assert (dice <= above + 1e-5).all()
    return [sampled for _, sampled in found]


def test_rows_that_end_early_make_room(weights: Weights) -> None:
    """Ten rows end one after the other, the first ones first, so that rows are swapped in every step; then those that
    were moved most are asked again."""
    check(weights, [[(5, 1 + i) for i in range(10)], [(2, 3)] * 10, [(2, 10 - i) for i in range(10)], [(1, 2)] * 10])


def test_rows_that_end_themselves_make_room(weights: Weights) -> None:
    turns: list[list[Asked]] = [[(5, 12)] * 10, [(2, 12)] * 10]
    said = np.concatenate([sampled.ids for sampled in check(weights, turns)])
    first, second = np.bincount(said).argsort()[-2:].tolist()
    sampled = check(weights, turns, frozenset({first, second}))
    assert len({len(each.ids) for each in sampled}) > 1
    assert {first, second} <= {int(each.ids[-1]) for each in sampled}


def test_prompts_of_very_different_length_are_prefilled_apart(weights: Weights) -> None:
    """12 × 140 tokens padded are more than the sampler takes at once."""
    check(
        weights, [[(140 if i % 3 == 0 else 1, 4) for i in range(12)], [(1 if i % 3 == 0 else 60, 4) for i in range(12)]]
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(ASKED, min_size=6, max_size=6), min_size=1, max_size=4))
def test_whoever_is_asked_whenever(weights: Weights, turns: list[list[Asked]]) -> None:
    check(weights, turns)
