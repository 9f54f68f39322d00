"""Shapes of models: parameters as transformers counts them, and what a token costs, by hand."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from pipelines.config import ModelConfig
from pipelines.errors import ConfigError
from pipelines.planning.shapes import KNOWN, ModelShape, shape_of
from tests.planning.cells import LARGE, MIDDLE, SMALL, planned

PARAMETERS = {  # as the models' own files have them
    SMALL: 1_543_714_304, MIDDLE: 7_615_616_512, LARGE: 32_763_876_352, "qwen2.5_0.5b": 494_032_768, "qwen2.5_3b": 3_085_938_688,
    "qwen3_0.6b": 596_049_920, "qwen3_1.7b": 1_720_574_976, "qwen3_4b": 4_022_468_096, "llama3.2_1b": 1_235_814_400,
    "smollm2_135m": 134_515_008,
}  # fmt: skip


@pytest.mark.parametrize("model", PARAMETERS)
def test_known_models_have_their_known_parameters(model: str) -> None:
    assert planned(model).shape.parameters == PARAMETERS[model]


@pytest.mark.parametrize("name", KNOWN)
def test_parameters_are_those_of_the_genuine_class(name: str) -> None:
    import torch
    import transformers

    shape = KNOWN[name]
    family = "Qwen3" if shape.head_norms else "Qwen2" if shape.biased else "Llama"
    make, of = (getattr(transformers, f"{family}{kind}") for kind in ("ForCausalLM", "Config"))
    config = of(
        vocab_size=shape.vocabulary, hidden_size=shape.hidden, intermediate_size=shape.mlp, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads, tie_word_embeddings=shape.tied,
        head_dim=shape.head_dim,
    )  # fmt: skip
    with torch.device("meta"):
        model = make(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == shape.parameters


def test_a_layer_by_hand() -> None:
    """7B: query 3584² + 3584, key and value 2·(3584·512 + 512), output 3584², MLP 3·3584·18944, norms 2·3584."""
    shape = planned(MIDDLE).shape
    assert shape.layer_parameters == 12_848_640 + 3_671_040 + 12_845_056 + 203_685_888 + 7_168 == 233_057_792
    assert shape.output_matrix == 152_064 * 3_584 == 544_997_376


def test_flops_of_a_token_by_hand() -> None:
    """7B: two per weight of 28 layers' matrices (233,057,792 less 4,608 biases and 7,168 norms) and of the output matrix;
    and of a sequence of 1,224 tokens, 612 on average before a token: 28 layers · 4 · 3584 · 612."""
    matrices = 28 * 233_046_016 + 544_997_376
    assert planned(MIDDLE).shape.forward_flops(1224) == 2 * matrices + 245_661_696 == 14_386_233_344


@pytest.mark.parametrize(
    ("model", "size", "expected"),
    [
        (MIDDLE, 1, 57_344),  # keys and values · 28 layers · 4 heads · 128 · 2 bytes
        (MIDDLE, 2, 28_672),
        (LARGE, 8, 32_768),  # 2 · 64 · 1 · 128 · 2
        (SMALL, 4, 14_336),  # two heads on four GPUs: each still holds one
    ],
)
def test_cache_of_a_token_by_hand(model: str, size: int, expected: int) -> None:
    assert planned(model).shape.cache_bytes(2, size) == expected


def model_config(pretrained: Path | str) -> ModelConfig:
    return planned(SMALL).experiment.model.model_copy(update={"pretrained": str(pretrained)})


CONFIG = {
    "model_type": "qwen2", "vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "intermediate_size": 96, "max_position_embeddings": 512, "tie_word_embeddings": True,
}  # fmt: skip


def test_a_folder_says_its_shape(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert shape_of(model_config(tmp_path)) == ModelShape(100, 64, 2, 2, 1, 32, 96, 512, tied=True)


def test_a_llama_has_no_biases(tmp_path: Path) -> None:
    """Llama-3.1-8B as its card counts it: a layer has 2·4096² + 2·4096·1024 + 3·4096·14336 weights and two norms."""
    llama = KNOWN["meta-llama/Llama-3.1-8B-Instruct"]
    assert llama.parameters == 2 * 128_256 * 4096 + 32 * (218_103_808 + 8192) + 4096 == 8_030_261_248
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"model_type": "llama"}))
    assert not shape_of(model_config(tmp_path)).biased


def test_other_decoders_are_reckoned_by_their_sizes(tmp_path: Path) -> None:
    """As many key heads as query heads where the folder names none."""
    said = {key: value for key, value in CONFIG.items() if key != "num_key_value_heads"}
    (tmp_path / "config.json").write_text(json.dumps(said | {"model_type": "olmo"}))
    assert shape_of(model_config(tmp_path)) == ModelShape(100, 64, 2, 2, 2, 32, 96, 512, tied=True, biased=False)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"model_type": "qwen3", "head_dim": 16}))
    assert (
        shape_of(model_config(tmp_path)).layer_parameters == 2 * 64 * 32 + 2 * 64 * 16 + 3 * 64 * 96 + 2 * 64 + 2 * 16
    )


def test_names_of_a_familys_own_are_the_usual_ones(tmp_path: Path) -> None:
    said = {"model_type": "gpt2", "vocab_size": 100, "n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 512}
    (tmp_path / "config.json").write_text(json.dumps(said))
    assert shape_of(model_config(tmp_path)) == ModelShape(100, 64, 2, 2, 2, 32, 256, 512, tied=True, biased=False)


def test_a_configuration_with_parts_is_read_as_its_text_model(tmp_path: Path) -> None:
    """Gemma 3 sees too: its sizes stand in text_config, and what is not said there are transformers' defaults."""
    text = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16,
            "intermediate_size": 96, "vocab_size": 100, "max_position_embeddings": 512}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gemma3", "text_config": text}))
    shape = shape_of(model_config(tmp_path))
    assert shape == ModelShape(100, 64, 2, 2, 1, 16, 96, 512, tied=True, biased=False)


def test_an_mlp_of_another_name(tmp_path: Path) -> None:
    said = {"model_type": "opt", "vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
            "ffn_dim": 96, "max_position_embeddings": 512, "word_embed_proj_dim": 64}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(said))
    assert shape_of(model_config(tmp_path)).mlp == 96


def test_a_mixture_of_experts_has_the_parameters_of_its_files(tmp_path: Path) -> None:
    """What its sizes say is one expert of each layer."""
    import torch
    from safetensors.torch import save_file
    from transformers import MixtralConfig, MixtralForCausalLM

    config = MixtralConfig(
        vocab_size=100, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        max_position_embeddings=512, num_local_experts=4,
    )  # fmt: skip
    torch.manual_seed(0)
    model = MixtralForCausalLM(config)
    model.save_pretrained(tmp_path, max_shard_size="100KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    counted = sum(parameter.numel() for parameter in model.parameters())
    assert shape_of(model_config(tmp_path)).parameters == counted > 3 * 2 * 3 * 64 * 96
    save_file({"all": torch.zeros(9)}, tmp_path / "consolidated.safetensors")  # another copy, which no index names
    assert shape_of(model_config(tmp_path)).parameters == counted
    next(tmp_path.glob("model-*.safetensors")).write_bytes(b"cut")
    assert shape_of(model_config(tmp_path)).stored is None


def test_an_output_matrix_that_is_the_embedding_is_counted_once(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    save_file(
        {"model.embed_tokens.weight": torch.zeros(100, 64), "lm_head.weight": torch.zeros(100, 64)},
        tmp_path / "model.safetensors",
    )
    assert shape_of(model_config(tmp_path)).parameters == 6400


def test_a_folders_own_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers would ask, and who pipes yes into a launch would have answered."""
    ran = tmp_path / "ran"
    (tmp_path / "configuration_own.py").write_text(
        "from pathlib import Path\nfrom transformers import PretrainedConfig\n"
        f"Path({str(ran)!r}).touch()\nclass Own(PretrainedConfig): model_type = 'own'\n"
    )
    said = {"model_type": "own", "auto_map": {"AutoConfig": "configuration_own.Own"}, "vocab_size": 100}
    (tmp_path / "config.json").write_text(json.dumps(said))
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(ConfigError, match="does not describe a decoder"):
        shape_of(model_config(tmp_path))
    assert not ran.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "neither a folder with a config.json nor one of Qwen/Qwen2.5-0.5B-Instruct"),
        (json.dumps({"model_type": "mamba", "vocab_size": 9}), "does not describe a decoder.*num_attention_heads"),
        (json.dumps(CONFIG)[:60], "does not describe a decoder"),
        ("{}", "does not describe a decoder.*model_type"),
        ("[]", "does not describe a decoder"),
        (json.dumps(CONFIG | {"num_attention_heads": 0}), "does not describe a decoder"),
        (json.dumps({"model_type": "gpt2", "n_embd": "wide"}), "does not describe a decoder"),
        (json.dumps(CONFIG | {"max_position_embeddings": None}), "does not describe a decoder"),
    ],
)
def test_a_wrong_model_is_reported(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=message):
        shape_of(model_config(tmp_path))
