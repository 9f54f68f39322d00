"""The families of models that the fast forward pass computes: it is transformers', or it refuses the model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel, Qwen2Config, Qwen3Config

from pipelines.errors import ConfigError, MissingCheckpoint
from pipelines.files import read_json, write_json
from pipelines.policies.local.config import LocalPolicyConfig
from pipelines.policies.local.native import NativeEngine
from pipelines.policies.local.parameters import load_model
from pipelines.policies.local.probe import check_model
from pipelines.policies.local.probe import largest_difference as largest_probed_difference
from pipelines.policies.local.transformer import forward, packed, packed_positions, weights_of
from pipelines.policies.model_folder import check_folder, check_vocabulary, check_weights

SIZES: dict[str, Any] = {
    "vocab_size": 96, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 64, "initializer_range": 0.2,
}  # fmt: skip
LLAMA3 = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
YARN = {"rope_type": "yarn", "factor": 4.0}
STRETCHED = {"rope_theta": 500.0, "original_max_position_embeddings": 16}


def saved(config: Any, folder: Path, **how: Any) -> PreTrainedModel:
    """A random model, with every bias and norm unlike its beginning."""
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p) if p.ndim == 1 else 0.0)
    model.save_pretrained(folder, **how)
    return model


def largest_difference(model: PreTrainedModel, folder: Path) -> float:
    """Of the logits of two sequences of unlike length, laid end to end, beside transformers' of each alone."""
    sequences = [torch.randint(0, 96, (n,)) for n in (7, 60)]
    lengths = [len(ids) for ids in sequences]
    with torch.no_grad():
        weights = weights_of(load_model(folder))
        hidden = forward(weights, torch.cat(sequences)[None], packed_positions(lengths), packed(lengths))
        ours = (hidden @ weights.lm_head.T).split(lengths)
        theirs = [model(ids[None]).logits[0] for ids in sequences]
    assert all(logits.std() > 0.1 for logits in theirs)
    return max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    "config",
    [
        Qwen2Config(**SIZES, tie_word_embeddings=True),
        Qwen2Config(**SIZES, head_dim=64, rms_norm_eps=1e-4, rope_parameters={"rope_theta": 1e6}),
        Qwen3Config(**SIZES, head_dim=16, tie_word_embeddings=True),
        Qwen3Config(**SIZES, head_dim=64, attention_bias=True),
        LlamaConfig(**SIZES, tie_word_embeddings=True),
        LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True),
        LlamaConfig(**SIZES, rope_parameters=LLAMA3 | STRETCHED),
        LlamaConfig(**SIZES, rope_parameters={"rope_type": "linear", "factor": 3.0} | STRETCHED),
        Qwen2Config(**SIZES, rope_parameters=YARN | STRETCHED),
        Qwen3Config(**SIZES, rope_parameters=YARN | STRETCHED | {"mscale": 1.0, "mscale_all_dim": 0.5, "beta_fast": 8}),
    ],
    ids=["qwen2 tied", "qwen2 wide heads", "qwen3", "qwen3 biases", "llama", "llama biases", "llama3", "linear", "yarn", "yarn scaled"],
)  # fmt: skip
def test_logits_are_transformers_own(config: Any, tmp_path: Path) -> None:
    assert largest_difference(saved(config, tmp_path), tmp_path) < 1e-4


def test_a_model_in_many_files_is_the_same(tmp_path: Path) -> None:
    """And with the positions' settings under the names they had before transformers 5."""
    model = saved(LlamaConfig(**SIZES, rope_parameters=LLAMA3 | STRETCHED), tmp_path, max_shard_size="40KB")
    config = read_json(tmp_path / "config.json")
    rope = config.pop("rope_parameters")
    config |= {"rope_theta": rope.pop("rope_theta"), "rope_scaling": rope}
    write_json(tmp_path / "config.json", config)
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    assert largest_difference(model, tmp_path) < 1e-4
    shard = sorted(tmp_path.glob("*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(MissingCheckpoint, match=shard.name):
        load_model(tmp_path)


def test_two_models_in_a_folder_are_refused_where_vllm_reads_it(model_folder: Path, tmp_path: Path) -> None:
    """transformers and policy=local take model.safetensors, vLLM what the index names. One that names the whole file is harmless."""
    saved(LlamaConfig(**SIZES | {"vocab_size": 4096}), tmp_path)
    shutil.copyfile(model_folder / "tokenizer.json", tmp_path / "tokenizer.json")
    index = tmp_path / "model.safetensors.index.json"
    write_json(index, {"weight_map": {"a": "model.safetensors"}})
    check_folder(tmp_path)
    write_json(index, {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}})
    check_weights(tmp_path)
    with pytest.raises(ConfigError, match=r"names model-2\.safetensors: .*remove one"):
        check_folder(tmp_path)
    index.write_text("{")
    with pytest.raises(MissingCheckpoint, match=r"index\.json cannot be read"):
        check_folder(tmp_path)


def test_a_value_that_is_missing_is_named(tmp_path: Path) -> None:
    saved(LlamaConfig(**SIZES, rope_parameters=LLAMA3 | STRETCHED), tmp_path)
    config = read_json(tmp_path / "config.json")
    del config["rope_parameters"]["low_freq_factor"]
    write_json(tmp_path / "config.json", config)
    with pytest.raises(MissingCheckpoint, match="low_freq_factor"):
        load_model(tmp_path)


def test_a_size_that_is_no_number_is_no_traceback(tmp_path: Path) -> None:
    saved(LlamaConfig(**SIZES), tmp_path)
    write_json(tmp_path / "config.json", read_json(tmp_path / "config.json") | {"max_position_embeddings": None})
    with pytest.raises(MissingCheckpoint, match=r"config\.json"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("check", "file", "content"),
    [
        (check_folder, "config.json", "[]"),
        (load_model, "config.json", "[]"),
        (load_model, "config.json", json.dumps({"model_type": "llama", "num_attention_heads": 0, "hidden_size": 64})),
        (check_folder, "model.safetensors.index.json", "[]"),
        (check_folder, "model.safetensors.index.json", json.dumps({"weight_map": ["a", "b"]})),
        (check_folder, "model.safetensors.index.json", json.dumps({"weight_map": {"a": 3}})),
        (check_folder, "tokenizer.json", json.dumps({"model": {"type": "BPE", "vocab": {}, "merges": []}})),
    ],
)
def test_a_file_of_another_form_is_no_traceback(
    check: Callable[[Path], object], file: str, content: str, model_folder: Path, tmp_path: Path
) -> None:
    saved(LlamaConfig(**SIZES | {"vocab_size": 4096}), tmp_path, max_shard_size="40KB")
    shutil.copyfile(model_folder / "tokenizer.json", tmp_path / "tokenizer.json")
    check(tmp_path)
    (tmp_path / file).write_text(content)
    with pytest.raises(MissingCheckpoint, match=str(tmp_path)):
        check(tmp_path)


def test_a_tensor_that_is_missing_is_named(tmp_path: Path) -> None:
    saved(LlamaConfig(**SIZES), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(MissingCheckpoint, match=r"layers\.1\.mlp\.up_proj\.weight"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"model_type": "gpt_unknown"}, "gpt_unknown"),
        ({"use_sliding_window": True}, "use_sliding_window"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, "dynamic"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantization"),
        ({"attention_bias": False}, "_proj.bias"),  # the folder holds tensors of which the configuration says nothing
    ],
)
def test_what_would_be_left_out_is_refused(changed: dict[str, Any], named: str, tmp_path: Path) -> None:
    saved(LlamaConfig(**SIZES, attention_bias=True), tmp_path)
    write_json(tmp_path / "config.json", read_json(tmp_path / "config.json") | changed)
    with pytest.raises(ConfigError, match=r"policy\.engine=transformers") as caught:
        load_model(tmp_path)
    assert named in str(caught.value)


def test_a_pass_that_is_not_transformers_is_refused_with_the_largest_difference(tmp_path: Path) -> None:
    """Every norm of a layer a little off: the probe says by how much."""
    saved(Qwen3Config(**SIZES, head_dim=16, tie_word_embeddings=True), tmp_path)
    engine = NativeEngine(tmp_path, LocalPolicyConfig(), frozen=True)
    ids = list(range(96))
    assert 0 < largest_probed_difference(engine, tmp_path, ids) < 1e-4
    engine._model.shape = replace(engine._model.shape, eps=0.05)
    with pytest.raises(ConfigError, match=r"other logits than transformers, by \d.*policy\.engine=transformers"):
        largest_probed_difference(engine, tmp_path, ids)


def test_a_stand_in_is_not_probed(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would start seconds later, and tests hold it equal."""
    monkeypatch.setattr("pipelines.policies.local.probe.largest_difference", None)
    assert check_model(LocalPolicyConfig(), model_folder) == {}


@pytest.mark.parametrize("check", [check_vocabulary, check_folder], ids=["policy=local", "policy=vllm and openrlhf"])
def test_a_token_without_a_row_is_refused(check: Callable[[Path], None], model_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(model_folder, tmp_path, dirs_exist_ok=True)
    config = read_json(tmp_path / "config.json") | {"model_type": "llama"}  # vLLM's Qwen2 has no heads of this size
    tokens = Tokenizer.from_file(str(tmp_path / "tokenizer.json")).get_vocab_size()
    for rows in (tokens, tokens + 1000):  # padded
        write_json(tmp_path / "config.json", config | {"vocab_size": rows})
        check(tmp_path)
    write_json(tmp_path / "config.json", config | {"vocab_size": tokens - 1})
    with pytest.raises(ConfigError, match=f"has the id {tokens - 1}, .*embedding of {tokens - 1} rows"):
        check(tmp_path)
