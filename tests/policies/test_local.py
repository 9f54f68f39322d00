"""The local policy keeps the kit; its sampler, scores and updates are exact."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from flows.configure.compose import compose
from pipelines.errors import ConfigError, NonFiniteLoss
from pipelines.files import read_json, write_json
from pipelines.policies import codec
from pipelines.policies.local.config import LocalPolicyConfig
from pipelines.policies.local.decoding import CachedDecoder
from pipelines.policies.local.engine import device_of
from pipelines.policies.local.policy import local_policy
from pipelines.protocols import Generation, GenerationRequest, Message, Policy, SamplingSettings
from pipelines.records import TrainingSequence
from tests.policies.conformance import SETTINGS, Begin, LearnerConformance, Make, SamplerConformance
from tests.policies.play import Turn, converse, same, sequences

PLAIN = SETTINGS.model_copy(update={"minibatch_size": 256, "kl_coefficient": 0.0, "entropy_coefficient": 0.0})


class TestLocalSampler(SamplerConformance):
    vocabulary = 1024

    @pytest.fixture
    def make(self, model_folder: Path) -> Make:
        return lambda: local_policy(model_folder, temperature=1.0).sampler


class TestLocalLearner(LearnerConformance):
    @pytest.fixture
    def begin(self, model_folder: Path) -> Begin:
        return lambda: local_policy(model_folder, temperature=1.0)


def test_a_rollout_does_not_go_on_under_other_weights(policy: Policy) -> None:
    """The cache holds keys and values of the weights before the update."""
    rows = sequences(converse(policy.sampler))
    policy.sampler.open_rollout(1)
    policy.learner.update(rows, PLAIN, seed=0)
    context = tuple(policy.sampler.codec.encode("a mug 1"))
    with pytest.raises(RuntimeError, match="open_rollout"):
        asyncio.run(policy.sampler.generate(GenerationRequest(0, context, 0, SamplingSettings(1.0, 1))))


def test_a_shared_context_is_run_once_and_copied(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two contexts, six episodes: the first turn's tokens, log-probs within rounding, and a second turn on the copied caches."""
    sampler = local_policy(model_folder, temperature=1.0).sampler
    contexts = [tuple(sampler.codec.encode(text)) for text in ("a mug 1 on the desk 1", "go to desk 1")]
    run: list[int] = []
    forward = CachedDecoder._run

    def counted(self: CachedDecoder, tokens: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        run.append(tokens.numel())
        return forward(self, tokens, *rest)

    monkeypatch.setattr(CachedDecoder, "_run", counted)

    async def episode(i: int, shared: bool) -> list[Generation]:
        context, played = contexts[i % 2], []
        for turn in range(2):
            request = GenerationRequest(i, context, 10 * i + turn, SamplingSettings(1.0, 4), shared and not turn)
            played.append(await sampler.generate(request))
            context = (*context, *played[-1].action_ids.tolist(), 5, 6)
        return played

    async def everyone(shared: bool) -> list[list[Generation]]:
        return await asyncio.gather(*(episode(i, shared) for i in range(6)))

    found = {}
    for shared in (False, True):
        sampler.open_rollout(6)
        run.clear()
        found[shared] = asyncio.run(everyone(shared))
        assert run[0] == (2 if shared else 6) * max(map(len, contexts))
    for each, once in zip(found[False], found[True], strict=True):
        for a, b in zip(each, once, strict=True):
            assert a.action_ids.tolist() == b.action_ids.tolist()
            np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-5)


def test_a_checkpoint_keeps_everything_that_is_no_weight(model_folder: Path, tmp_path: Path) -> None:
    """Else the trained model would be asked through another chat template than it was trained with."""
    shutil.copytree(model_folder, tmp_path / "model")
    for name, text in (
        ("chat_template.jinja", "{% for m in messages %}[{{ m.content }}]{% endfor %}"),
        ("merges.txt", "a b"),
    ):
        (tmp_path / "model" / name).write_text(text)
    (tmp_path / "model" / "model.safetensors.index.json").write_text("{}")  # of weights that are not there
    local_policy(tmp_path / "model", temperature=1.0).learner.save(tmp_path / "saved")
    kept = {file.name for file in (tmp_path / "saved" / "model").iterdir()}
    assert {"chat_template.jinja", "merges.txt", "config.json", "tokenizer.json", "model.safetensors"} <= kept
    assert "model.safetensors.index.json" not in kept
    assert codec(tmp_path / "saved" / "model").chat_prompt([Message("user", "go")], continues=False) == (
        codec(tmp_path / "model").chat_prompt([Message("user", "go")], continues=False)
    )


@pytest.mark.parametrize("named", ["dtype", "torch_dtype"])
def test_a_checkpoint_says_the_dtype_of_its_weights(model_folder: Path, tmp_path: Path, named: str) -> None:
    """Trained from bfloat16, they are float32: read as bfloat16 they would lose what was learned."""
    shutil.copytree(model_folder, tmp_path / "model")
    config = read_json(tmp_path / "model" / "config.json")
    del config["dtype"]
    write_json(tmp_path / "model" / "config.json", config | {named: "bfloat16"})
    weights_file = tmp_path / "model" / "model.safetensors"
    save_file({k: v.bfloat16() for k, v in load_file(weights_file).items()}, weights_file, metadata={"format": "pt"})
    trained = local_policy(tmp_path / "model", temperature=1.0)
    trained.learner.update(sequences(converse(trained.sampler)), PLAIN, seed=0)
    trained.learner.save(tmp_path / "saved")
    from transformers import AutoModelForCausalLM

    read = AutoModelForCausalLM.from_pretrained(tmp_path / "saved" / "model")
    saved = load_file(tmp_path / "saved" / "model" / "model.safetensors")["model.embed_tokens.weight"]
    assert read.dtype == torch.float32
    assert torch.equal(read.get_input_embeddings().weight, saved)
    assert not torch.equal(saved, saved.bfloat16().float())


@pytest.fixture
def policy(model_folder: Path) -> Policy:
    return local_policy(model_folder, temperature=1.0)


def weights(policy: Policy, folder: Path) -> dict[str, torch.Tensor]:
    policy.learner.save(folder)
    return load_file(folder / "model" / "model.safetensors")


def distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.mark.parametrize("growing", [True, False], ids=["growing", "fresh"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_a_scoring_pass_finds_the_samplers_logprobs_and_entropies(
    model_folder: Path, growing: bool, temperature: float
) -> None:
    """Many turns through the cache equal one pass over the whole sequence: no position, mask or cache row is off."""
    policy = local_policy(model_folder, temperature=temperature)
    sampling = SamplingSettings(temperature, max_tokens=9)
    conversations = converse(policy.sampler, episodes=8, turns=3, growing=growing, sampling=sampling)
    rows = sequences(conversations)
    turns = [turn for conversation in conversations for turn in conversation]
    found = policy.learner.score(rows)
    for field in ("logprobs", "entropies"):
        sampled = np.concatenate([getattr(turn.generation, field) for turn in turns])
        scored = np.concatenate([getattr(s, field)[row.action_mask] for s, row in zip(found, rows, strict=True)])
        np.testing.assert_allclose(scored, sampled, atol=1e-5)


def test_log_probs_and_entropies_are_those_of_the_hugging_face_model(policy: Policy, model_folder: Path) -> None:
    """An independent reference: transformers' own forward pass, float64 reductions over the full vocabulary."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_folder).eval()
    for row, score in zip(rows := sequences(converse(policy.sampler)), policy.learner.score(rows), strict=True):
        with torch.no_grad():
            logits = model(torch.from_numpy(row.token_ids.astype(np.int64))[None]).logits[0, :-1].double()
        logp = logits.log_softmax(-1)
        chosen = logp.gather(1, torch.from_numpy(row.token_ids[1:].astype(np.int64))[:, None])[:, 0].numpy()
        entropy = -(logp.exp() * logp).sum(-1).numpy()
        mask = row.action_mask[1:]
        np.testing.assert_allclose(score.logprobs[1:][mask], chosen[mask], atol=1e-5)
        np.testing.assert_allclose(score.entropies[1:][mask], entropy[mask], atol=1e-5)


def test_greedy_tokens_are_those_of_generate(policy: Policy, model_folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_folder).eval()
    for conversation in converse(policy.sampler, sampling=SamplingSettings(0.0, max_tokens=9)):
        context: list[int] = []
        for turn in conversation:
            context += turn.prompt_ids
            ids = torch.tensor([context])
            out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=9)
            assert turn.generation.action_ids.tolist() == out[0, len(context) :].tolist()
            context += turn.generation.action_ids.tolist()


def test_samples_follow_the_distribution(policy: Policy) -> None:
    """2,000 first tokens against the policy's own probabilities: no token off by more than 5 standard errors."""
    one = SamplingSettings(1.0, max_tokens=1)
    firsts = [c[0] for c in converse(policy.sampler, episodes=2000, turns=1, stagger=False, sampling=one)]
    counts: dict[int, int] = {}
    probability: dict[int, float] = {}
    for turn in firsts:
        token = int(turn.generation.action_ids[0])
        counts[token] = counts.get(token, 0) + 1
        probability[token] = float(np.exp(turn.generation.logprobs[0]))
    for token, p in probability.items():
        assert abs(counts[token] - len(firsts) * p) < 5 * np.sqrt(len(firsts) * p) + 1
    assert len(counts) > 5


def test_a_batch_of_one_samples_what_a_batch_of_many_does(policy: Policy) -> None:
    """Other rows change at most the last bits of a row's numbers, so its tokens stay."""
    alone, among = converse(policy.sampler, episodes=1, turns=4), converse(policy.sampler, episodes=6, turns=4)
    for a, b in zip(alone[0], among[0], strict=True):
        assert a.generation.action_ids.tolist() == b.generation.action_ids.tolist()
        np.testing.assert_allclose(a.generation.logprobs, b.generation.logprobs, atol=1e-5)


def test_a_changed_prefix_is_not_taken_from_the_cache(policy: Policy) -> None:
    """The second context shares half of the first: what the cache holds beyond that must not be seen."""
    conversations = converse(policy.sampler, growing=False, episodes=4, turns=4)
    rows = sequences(conversations)
    sampled = [t.generation.logprobs for c in conversations for t in c]
    for score, row, expected in zip(policy.learner.score(rows), rows, sampled, strict=True):
        np.testing.assert_allclose(score.logprobs[row.action_mask], expected, atol=1e-5)


# ---------------------------------------------------------------------------------------------------------- updates


def test_positive_advantages_gain_probability_and_negative_ones_lose_it(policy: Policy) -> None:
    rows = sequences(converse(policy.sampler, episodes=6))
    before = policy.learner.score(rows)
    policy.learner.update(rows, PLAIN, seed=0)
    for row, old, new in zip(rows, before, policy.learner.score(rows), strict=True):
        gained = float((new.logprobs - old.logprobs).sum())
        assert gained * row.advantages[row.action_mask][0] > 0


def test_zero_advantages_leave_the_weights(policy: Policy, tmp_path: Path) -> None:
    rows = sequences(converse(policy.sampler), advantage=0.0)
    before = weights(policy, tmp_path / "before")
    metrics = policy.learner.update(rows, PLAIN, seed=0)
    assert metrics.gradient_norm == 0.0
    assert distance(before, weights(policy, tmp_path / "after")) == 0.0


@pytest.mark.parametrize("aggregation", ["token-mean", "sequence-mean", "constant-length"])
def test_micro_batches_never_change_the_mathematics(model_folder: Path, tmp_path: Path, aggregation: str) -> None:
    """1 × 8 equals 8 × 1: the same step from one micro-batch and from one per row."""
    rows = sequences(converse(local_policy(model_folder, temperature=1.0).sampler, episodes=8))
    length = 50 if aggregation == "constant-length" else None
    shared = {"aggregation": aggregation, "loss_length": length, "minibatch_size": 256, "learning_rate": 1e-4}
    found = []
    for tokens in (1, 100_000):
        policy = local_policy(model_folder, temperature=1.0)
        metrics = policy.learner.update(
            rows, SETTINGS.model_copy(update={**shared, "micro_batch_tokens": tokens}), seed=0
        )
        found.append((metrics, policy.learner.score(rows)))
    (one, a), (eight, b) = found
    for name in ("loss", "policy_loss", "kl", "entropy", "ratio", "gradient_norm"):
        assert getattr(one, name) == pytest.approx(getattr(eight, name), rel=1e-4, abs=1e-6), name
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x.logprobs, y.logprobs, atol=1e-4)


def test_a_constant_length_scales_the_loss_and_not_what_is_measured(model_folder: Path) -> None:
    """Beside the token mean's, the loss and its gradient are tokens / (rows · 50) of it; KL, entropy and ratio are the same."""
    rows = sequences(converse(local_policy(model_folder, temperature=1.0).sampler, episodes=4))
    by_token, constant = (
        local_policy(model_folder, temperature=1.0).learner.update(
            rows, SETTINGS.model_copy(update={"minibatch_size": 256, "learning_rate": 1e-4, **how}), seed=0
        )
        for how in ({}, {"aggregation": "constant-length", "loss_length": 50})
    )
    share = by_token.tokens / (len(rows) * 50)
    for name in ("loss", "policy_loss", "gradient_norm"):
        assert getattr(constant, name) == pytest.approx(getattr(by_token, name) * share, rel=1e-4, abs=1e-7), name
    for name in ("kl", "entropy", "ratio", "clip_fraction", "approx_kl"):
        assert getattr(constant, name) == pytest.approx(getattr(by_token, name), rel=1e-4, abs=1e-7), name


def test_the_first_step_is_on_policy(policy: Policy) -> None:
    metrics = policy.learner.update(
        sequences(converse(policy.sampler)), PLAIN.model_copy(update={"kl_coefficient": 0.01}), seed=0
    )
    assert metrics.ratio == pytest.approx(1.0, abs=1e-5)
    assert metrics.kl == pytest.approx(0.0, abs=1e-6)
    assert metrics.clip_fraction == 0.0


def test_the_reference_stays_where_the_run_began(policy: Policy, tmp_path: Path) -> None:
    rows = sequences(converse(policy.sampler))
    before = policy.learner.score(rows, reference=True)
    policy.learner.update(rows, SETTINGS, seed=0)
    policy.learner.save(tmp_path)
    policy.learner.load(tmp_path)
    after, current = policy.learner.score(rows, reference=True), policy.learner.score(rows)
    assert all(np.array_equal(a.logprobs, b.logprobs) for a, b in zip(before, after, strict=True))
    assert any(not np.array_equal(a.logprobs, c.logprobs) for a, c in zip(after, current, strict=True))


def test_a_non_finite_loss_takes_no_step(policy: Policy, tmp_path: Path) -> None:
    rows = sequences(converse(policy.sampler))
    before = weights(policy, tmp_path / "before")
    huge = [replace(row, advantages=np.where(row.action_mask, 3e38, 0).astype(np.float32)) for row in rows]
    with pytest.raises(NonFiniteLoss, match="learning_rate"):
        policy.learner.update(huge, PLAIN, seed=0)
    assert distance(before, weights(policy, tmp_path / "after")) == 0.0


def test_the_saved_model_is_an_ordinary_folder(policy: Policy, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, Qwen2ForCausalLM

    policy.learner.save(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert isinstance(model, Qwen2ForCausalLM)
    assert model.dtype == torch.float32


def test_a_context_of_one_sequence_is_scored_alone(policy: Policy) -> None:
    """Padding of the batch bears on no row's numbers beyond rounding."""
    rows: list[TrainingSequence] = sequences(converse(policy.sampler, episodes=5))
    together = policy.learner.score(rows)
    for row, score in zip(rows, together, strict=True):
        np.testing.assert_allclose(policy.learner.score([row])[0].logprobs, score.logprobs, atol=1e-5)


def test_conversations_really_have_several_turns(policy: Policy) -> None:
    played: list[list[Turn]] = converse(policy.sampler)
    assert [len(c) for c in played] == [3, 4, 5]


# ------------------------------------------------------------------------------------------------- how it is computed


def test_bfloat16_rounds_and_no_more(model_folder: Path, tmp_path: Path) -> None:
    """Products of 8 bits: what is sampled has nearly the log-probs that float32 finds, the gradient nearly its direction, and what is
    trained stays float32. Saved and read again it goes on with the same bits."""
    exact, rounded = (
        local_policy(model_folder, temperature=1.0, settings=LocalPolicyConfig(dtype=dtype))
        for dtype in ("float32", "bfloat16")
    )
    rows = sequences(converse(rounded.sampler, episodes=6))
    for found, row, score in zip(rounded.learner.score(rows), rows, exact.learner.score(rows), strict=True):
        assert np.abs(found.logprobs - row.behaviour_logprobs)[row.action_mask].mean() < 0.02
        assert 0 < np.abs(found.logprobs - score.logprobs)[row.action_mask].mean() < 0.05
        assert np.abs(found.entropies - score.entropies)[row.action_mask].mean() < 0.05
    gradients = []
    for policy in (exact, rounded):
        metrics = policy.learner.update(rows, PLAIN, seed=0)
        if (
            policy is rounded
        ):  # the step begins at what it scores itself, not at what was rounded otherwise as it was sampled
            assert metrics.ratio == pytest.approx(1.0, abs=1e-4)
            assert metrics.extra["sampler_gap_max"] > metrics.extra["sampler_gap_mean"] > 1e-4
        else:
            assert metrics.extra == {}
        named = policy.learner._engine.named  # type: ignore[attr-defined]
        assert {p.dtype for p in named.values()} == {torch.float32}
        gradients.append(torch.cat([p.grad.flatten() for p in named.values()]))
    assert float(torch.cosine_similarity(*gradients, dim=0)) > 0.99
    rounded.learner.save(tmp_path)
    again = local_policy(model_folder, temperature=1.0, settings=LocalPolicyConfig(dtype="bfloat16"))
    again.learner.load(tmp_path)
    assert same(converse(again.sampler), converse(rounded.sampler))


def test_layers_computed_again_are_the_same_bits(model_folder: Path, tmp_path: Path) -> None:
    rows = sequences(converse(local_policy(model_folder, temperature=1.0).sampler))
    found = []
    for recompute in (False, True):
        policy = local_policy(
            model_folder, temperature=1.0, settings=LocalPolicyConfig(checkpoint_activations=recompute)
        )
        policy.learner.update(rows, SETTINGS, seed=0)
        found.append(weights(policy, tmp_path / str(recompute)))
    assert distance(*found) == 0.0


def test_bfloat16_without_its_products_is_refused(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretrained = ["scale=single", f"model.pretrained={model_folder}", "policy.device=cpu"]
    monkeypatch.setattr("pipelines.policies.local.config.cpu_flags", lambda: frozenset({"avx2"}))
    with pytest.raises(ConfigError, match=r"policy\.dtype=float32"):
        compose(["scale=smoke", "policy.dtype=bfloat16", "policy.device=cpu"]).experiment.check_runnable()
    with pytest.raises(ConfigError, match=r"warm_start\.dtype=float32"):
        compose([*pretrained, "warm_start.dtype=bfloat16"]).experiment.check_runnable()
    monkeypatch.setattr("pipelines.policies.local.config.cpu_flags", lambda: frozenset({"avx2", "avx512_bf16"}))
    compose(["scale=smoke", "policy.dtype=bfloat16", "policy.device=cpu"]).experiment.check_runnable()


def test_a_stand_in_stays_on_the_cpu(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert device_of(LocalPolicyConfig(), model_folder) == "cpu"
    assert (
        device_of(LocalPolicyConfig(), tmp_path) == device_of(LocalPolicyConfig(device="cuda"), model_folder) == "cuda"
    )
