"""The engine of transformers keeps the kit, with a family that is not in our table and does much to its logits: Gemma 2, whose
attention slides and whose logits are capped."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from flows.configure.compose import compose
from pipelines.errors import ConfigError, MissingCheckpoint
from pipelines.files import read_json, write_json
from pipelines.policies.local.config import LocalPolicyConfig
from pipelines.policies.local.logits import token_logits
from pipelines.policies.local.native import NativeEngine
from pipelines.policies.local.policy import local_policy
from pipelines.policies.local.probe import largest_difference
from pipelines.policies.model_folder import check_no_code
from pipelines.protocols import Policy
from tests.policies.conformance import SETTINGS, Begin, LearnerConformance, Make, SamplerConformance
from tests.policies.play import converse, sequences


def with_tokenizer(model: PreTrainedModel, stand_in: Path, folder: Path) -> Path:
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(stand_in / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def gemma(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = read_json(model_folder / "config.json")["vocab_size"]
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=rows, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, max_position_embeddings=256, sliding_window=8, initializer_range=0.4,
        final_logit_softcapping=5.0, pad_token_id=0, bos_token_id=None, eos_token_id=1,
    )  # fmt: skip
    return with_tokenizer(Gemma2ForCausalLM(config), model_folder, tmp_path_factory.mktemp("gemma"))


class TestHostedSampler(SamplerConformance):
    vocabulary = 1024
    test_text_survives_the_codec = None  # type: ignore[assignment]  # the codec is the local policy's, whatever computes

    @pytest.fixture
    def make(self, gemma: Path) -> Make:
        return lambda: local_policy(gemma, temperature=1.0).sampler


class TestHostedLearner(LearnerConformance):
    @pytest.fixture
    def begin(self, gemma: Path) -> Begin:
        return lambda: local_policy(gemma, temperature=1.0)


def rows_of(policy: Policy) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What was sampled, and what a scoring pass finds: log-probs and entropies, beside each other."""
    conversations = converse(policy.sampler)
    rows = sequences(conversations)
    turns = [turn.generation for conversation in conversations for turn in conversation]
    scored = policy.learner.score(rows)
    return (
        [np.concatenate([getattr(g, field) for g in turns]) for field in ("logprobs", "entropies")],
        [np.concatenate([getattr(s, field)[r.action_mask] for s, r in zip(scored, rows, strict=True)])
         for field in ("logprobs", "entropies")],
    )  # fmt: skip


@pytest.mark.parametrize("family", ["gemma2", "gpt2"])
def test_a_scoring_pass_finds_what_was_sampled_and_both_are_transformers(
    family: str, gemma: Path, model_folder: Path, tmp_path: Path
) -> None:
    folder = gemma
    if family == "gpt2":  # learned positions, no base layer of today's kind
        config = GPT2Config(vocab_size=1024, n_embd=32, n_layer=2, n_head=2, n_positions=256, initializer_range=0.4,
                            bos_token_id=1, eos_token_id=1)  # fmt: skip
        folder = with_tokenizer(GPT2LMHeadModel(config), model_folder, tmp_path / "gpt2")
    policy = local_policy(folder, temperature=1.0)
    for sampled, scored in zip(*rows_of(policy), strict=True):
        np.testing.assert_allclose(sampled, scored, atol=2e-5)
    row = sequences(converse(policy.sampler))[0]
    with torch.no_grad():
        ids = torch.from_numpy(row.token_ids).long()
        logp = AutoModelForCausalLM.from_pretrained(folder).eval()(ids[None]).logits[0, :-1].double().log_softmax(-1)
    chosen = logp.gather(1, ids[1:, None])[:, 0].numpy()
    np.testing.assert_allclose(row.behaviour_logprobs[1:][row.action_mask[1:]], chosen[row.action_mask[1:]], atol=2e-5)


def test_the_engines_agree(model_folder: Path, tmp_path: Path) -> None:
    """One stand-in by either: the same tokens, log-probs within 1e-5, and after an update of both the same weights; chunks of
    three tokens' logits and recomputed layers change nothing of it."""
    saved = []
    by = [LocalPolicyConfig(engine="native"), LocalPolicyConfig(engine="transformers", logits_chunk_tokens=3,
                                                                checkpoint_activations=True)]  # fmt: skip
    for settings in by:
        policy = local_policy(model_folder, temperature=0.7, settings=settings)
        rows = sequences(converse(policy.sampler))
        metrics = policy.learner.update(rows, SETTINGS, seed=0)
        saved.append((rows, metrics, policy.learner.score(rows)))
    (rows, one, scores), (others, two, found) = saved
    for row, other in zip(rows, others, strict=True):
        assert row.token_ids.tolist() == other.token_ids.tolist()
        np.testing.assert_allclose(row.behaviour_logprobs, other.behaviour_logprobs, atol=1e-5)
    assert one.gradient_norm == pytest.approx(two.gradient_norm, rel=1e-4)
    for a, b in zip(scores, found, strict=True):
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-4)
        np.testing.assert_allclose(a.entropies, b.entropies, atol=1e-4)


def test_single_tokens_logits_are_by_the_policys_engine(gemma: Path) -> None:
    """Our own pass is asked for, and does not compute Gemma."""
    with pytest.raises(ConfigError, match=r"policy\.engine=native computes"):
        token_logits(LocalPolicyConfig(engine="native"), gemma, [], [(0, 1)], temperature=1.0)


def test_quantised_weights_are_refused(gemma: Path, tmp_path: Path) -> None:
    """Before transformers looks for what reads them."""
    quantised = shutil.copytree(gemma, tmp_path / "model")
    config = read_json(quantised / "config.json")
    write_json(quantised / "config.json", config | {"quantization_config": {"quant_method": "gptq", "bits": 4}})
    with pytest.raises(ConfigError, match="quantization_config"):
        local_policy(quantised, temperature=1.0)


def test_weights_that_are_no_numbers_are_refused(gemma: Path, tmp_path: Path) -> None:
    """By either engine: of ours, where the logits of both are compared."""
    folder = shutil.copytree(gemma, tmp_path / "gemma")
    config = LlamaConfig(
        vocab_size=1024, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2
    )
    native = with_tokenizer(LlamaForCausalLM(config), gemma, tmp_path / "llama")
    for damaged in (folder, native):
        tensors = load_file(damaged / "model.safetensors")
        tensors["model.norm.weight"][3] = float("nan")
        save_file(tensors, damaged / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MissingCheckpoint, match="no finite numbers"):
        local_policy(folder, temperature=1.0)
    engine = NativeEngine(native, LocalPolicyConfig(), frozen=True)
    with pytest.raises(MissingCheckpoint, match="no finite numbers"):
        largest_difference(engine, native, list(range(9)))


def test_a_folders_own_code_is_not_run(gemma: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by transformers' engine; and OpenRLHF, which would run it, is not given it."""
    folder, ran = shutil.copytree(gemma, tmp_path / "model"), tmp_path / "ran"
    (folder / "own.py").write_text(
        f"from pathlib import Path\nfrom transformers import PretrainedConfig\nPath({str(ran)!r}).touch()\n"
        "class Own(PretrainedConfig): model_type = 'own'\n"
    )
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", config | {"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}})
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(ConfigError, match="no model that transformers reads"):
        local_policy(folder, temperature=1.0)
    with pytest.raises(ConfigError, match=r"config\.json names Python code of the folder's own \(auto_map\)"):
        check_no_code(folder)
    assert not ran.exists()
    check_no_code(gemma)


@pytest.mark.parametrize(
    ("auto_map", "files"),
    [
        ({"AutoConfig": "transformers.Own"}, ["transformers.py"]),  # looked for in the folder, whatever it is called
        ({"AutoTokenizer": [None, "own.Own"]}, []),
        ({"AutoConfig": "other/model--own.Own"}, []),  # another folder's
    ],
)
def test_openrlhf_is_given_no_code(gemma: Path, tmp_path: Path, auto_map: dict[str, object], files: list[str]) -> None:
    """Before anything starts; what stand-ins say is transformers' own class."""
    folder = shutil.copytree(gemma, tmp_path / "model")
    asked = ["scale=single", "policy=openrlhf", "cluster@policy.cluster=laptop", f"model.pretrained={folder}",
             "training.micro_batch_tokens=40000"]  # fmt: skip
    compose(asked).experiment.check_runnable()
    for name in files:
        (folder / name).write_text("class Own: ...")
    config = read_json(folder / "tokenizer_config.json")
    write_json(folder / "tokenizer_config.json", config | {"auto_map": auto_map})
    with pytest.raises(ConfigError, match="auto_map"):
        compose(asked).experiment.check_runnable()
    (folder / "tokenizer_config.json").write_text("[]")
    with pytest.raises(MissingCheckpoint, match=r"tokenizer_config\.json cannot be read"):
        compose(asked).experiment.check_runnable()


def test_bfloat16_is_autocasts(gemma: Path) -> None:
    """Sampled and scored alike within what 8 bits round; what is trained stays float32."""
    policy = local_policy(gemma, temperature=1.0, settings=LocalPolicyConfig(dtype="bfloat16"))
    exact = local_policy(gemma, temperature=1.0)
    rows = sequences(converse(policy.sampler))
    for row, found, score in zip(rows, policy.learner.score(rows), exact.learner.score(rows), strict=True):
        for other in (row.behaviour_logprobs, score.logprobs):
            assert 0 < np.abs(found.logprobs - other)[row.action_mask].mean() < 0.1
    policy.learner.update(rows, SETTINGS, seed=0)
    assert {p.dtype for p in policy.learner._engine.named.values()} == {torch.float32}  # type: ignore[attr-defined]
