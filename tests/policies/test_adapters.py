"""LoRA by either engine: the model stays, its change alone is trained and saved, in PEFT's format, and merged when it is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from pipelines.config import LoraSettings
from pipelines.errors import ConfigError, MissingCheckpoint
from pipelines.files import read_json
from pipelines.policies import merge_adapter
from pipelines.policies.local.config import LocalPolicyConfig
from pipelines.policies.local.learner import LocalLearner
from pipelines.policies.local.policy import local_policy
from pipelines.policies.lora_files import tensor_name, write
from pipelines.protocols import Policy
from tests.policies.conformance import SETTINGS, Begin, LearnerConformance
from tests.policies.play import converse, same, sequences

LORA = LoraSettings(rank=3, alpha=6.0, targets=("q_proj", "v_proj", "o_proj", "up_proj"))
LARGE = SETTINGS.model_copy(update={"learning_rate": 0.03})


def adapted(folder: Path, engine: str = "native", lora: LoraSettings = LORA, **settings: object) -> Policy:
    config = LocalPolicyConfig.model_validate({"engine": engine, **settings})
    return local_policy(folder, temperature=1.0, settings=config, adapter=lora)


class TestAdaptedLearner(LearnerConformance):
    @pytest.fixture
    def begin(self, model_folder: Path) -> Begin:
        return lambda: adapted(model_folder)


@pytest.mark.parametrize("engine", ["native", "transformers"])
def test_the_change_alone_is_trained_and_saved_and_a_merged_model_has_it(
    engine: str, model_folder: Path, tmp_path: Path
) -> None:
    """It begins as the model itself; after updates the KL reference still is that model, and transformers finds in
    the merged folder what the policy finds."""
    plain = local_policy(model_folder, temperature=1.0, settings=LocalPolicyConfig.model_validate({"engine": engine}))
    policy = adapted(model_folder, engine)
    conversations = converse(policy.sampler)
    if engine == "native":
        assert same(conversations, converse(plain.sampler))
    rows = sequences(conversations)
    before = plain.learner.score(rows)
    for seed in range(2):
        policy.learner.update(rows, LARGE, seed=seed)
    reference, after = policy.learner.score(rows, reference=True), policy.learner.score(rows)
    within = 0.0 if engine == "native" else 1e-5  # transformers' pass rounds otherwise with frozen matrices
    assert max(np.abs(a.logprobs - b.logprobs).max() for a, b in zip(before, reference, strict=True)) <= within
    assert max(np.abs(a.logprobs - b.logprobs).max() for a, b in zip(before, after, strict=True)) > 0.05
    policy.learner.save(tmp_path)
    held = {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*.*")}
    assert held == {"adapter/adapter_config.json", "adapter/adapter_model.safetensors", "optimizer.safetensors"}
    merge_adapter(model_folder, tmp_path / "adapter", tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    for row, score in zip(rows, after, strict=True):
        ids = torch.from_numpy(row.token_ids).long()
        with torch.no_grad():
            logp = model(ids[None]).logits[0, :-1].log_softmax(-1).gather(1, ids[1:, None])[:, 0].numpy()
        np.testing.assert_allclose(score.logprobs[1:][row.action_mask[1:]], logp[row.action_mask[1:]], atol=5e-5)


def test_the_engines_train_the_same_change(model_folder: Path, tmp_path: Path) -> None:
    found = []
    rows = sequences(converse(adapted(model_folder).sampler))
    for engine in ("native", "transformers"):
        policy = adapted(model_folder, engine, checkpoint_activations=True)
        metrics = policy.learner.update(rows, SETTINGS, seed=0)
        policy.learner.save(tmp_path / engine)
        found.append((metrics.gradient_norm, load_file(tmp_path / engine / "adapter" / "adapter_model.safetensors")))
    (norm, one), (other_norm, two) = found
    assert norm == pytest.approx(other_norm, rel=1e-4)
    assert one.keys() == two.keys()
    adapted(model_folder).learner.load(tmp_path / "transformers")  # either reads the other's


def test_the_files_are_pefts(model_folder: Path, tmp_path: Path) -> None:
    """Names, shapes and settings as PEFT writes them; the merged weights are W + α/r · B A by hand."""
    policy = adapted(model_folder)
    policy.learner.update(sequences(converse(policy.sampler)), LARGE, seed=0)
    policy.learner.save(tmp_path)
    merge_adapter(model_folder, tmp_path / "adapter", tmp_path / "model")
    config = read_json(tmp_path / "adapter" / "adapter_config.json")
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 3, 6.0)
    assert config["target_modules"] == ["o_proj", "q_proj", "up_proj", "v_proj"]
    tensors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert len(tensors) == 2 * 4 * 2  # layers, targets, A and B
    name = "model.layers.1.mlp.up_proj"
    a, b = (tensors[f"base_model.model.{name}.lora_{x}.weight"] for x in "AB")
    assert (a.shape, b.shape) == ((3, 64), (96, 3))
    start, merged = (load_file(f / "model.safetensors") for f in (model_folder, tmp_path / "model"))
    torch.testing.assert_close(merged[f"{name}.weight"], start[f"{name}.weight"] + 6.0 / 3 * b @ a)
    assert float((2 * b @ a).abs().max()) > 1e-3
    for other in ("model.layers.1.mlp.gate_proj.weight", "model.embed_tokens.weight"):
        assert torch.equal(merged[other], start[other])


def test_the_frozen_model_is_there_once_and_in_bfloat16(model_folder: Path) -> None:
    policy = adapted(model_folder, dtype="bfloat16")
    rows = sequences(converse(policy.sampler))
    policy.learner.update(rows, LARGE, seed=0)
    learner = policy.learner
    assert isinstance(learner, LocalLearner)
    named = learner._engine._model.named  # type: ignore[attr-defined]
    assert {p.dtype for p in named.values() if p.ndim == 2} == {torch.bfloat16}
    assert learner._frozen().engine._model is learner._engine._model  # type: ignore[attr-defined]
    assert {p.dtype for p in learner._engine.named.values()} == {torch.float32}
    assert any(p.grad is not None and float(p.grad.abs().max()) > 0 for p in learner._engine.named.values())


@pytest.mark.parametrize(
    ("config", "shapes", "said"),
    [
        ({"r": 0}, [(2, 64), (128, 2)], "no adapter that can be read .*r=0"),
        ({"lora_alpha": 1e999}, [(2, 64), (128, 2)], "lora_alpha=inf"),
        ({}, [(2, 64), (128, 3)], "of another shape"),
        ({}, [(64,), (128, 1)], "of another shape"),
        ({}, [(2, 64), (128,)], "of another shape"),
    ],
)
def test_an_adapter_that_cannot_be_merged_is_one_line(
    config: dict[str, float], shapes: list[tuple[int, ...]], said: str, model_folder: Path, tmp_path: Path
) -> None:
    tensors = {
        tensor_name("model.layers.0.self_attn.q_proj", x): torch.ones(s) for x, s in zip("AB", shapes, strict=True)
    }
    write(tmp_path / "adapter", LORA, tensors)
    file = tmp_path / "adapter" / "adapter_config.json"
    file.write_text(json.dumps(read_json(file) | config))
    with pytest.raises(MissingCheckpoint, match=said) as caught:
        merge_adapter(model_folder, tmp_path / "adapter", tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_what_does_not_fit_is_named(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"targets.*no projection c_attn, only .*q_proj"):
        adapted(model_folder, lora=LoraSettings(targets=("c_attn",)))
    adapted(model_folder).learner.save(tmp_path)
    with pytest.raises(MissingCheckpoint, match=r"training\.adapter"):
        adapted(model_folder, lora=LORA.model_copy(update={"rank": 2})).learner.load(tmp_path)
