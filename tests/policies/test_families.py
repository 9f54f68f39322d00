"""The families of models that the local policy reads: its forward pass is transformers', or it refuses the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from pipelines.errors import ConfigError
from pipelines.policies.local.parameters import load_model
from pipelines.policies.local.transformer import forward, packed, packed_positions, rotations, weights_of

SIZES: dict[str, Any] = {
    "vocab_size": 96, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 64, "initializer_range": 0.2,
}  # fmt: skip


def saved(model: PreTrainedModel, folder: Path) -> Path:
    model.float().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    ("config", "kind"), [(Qwen2Config, Qwen2ForCausalLM), (LlamaConfig, LlamaForCausalLM)], ids=["qwen2", "llama"]
)
def test_logits_are_transformers_own(config: Any, kind: Any, tied: bool, tmp_path: Path) -> None:
    """A random model, two sequences of unlike length: every logit within 1e-4 of its own forward pass."""
    torch.manual_seed(0)
    model = kind(config(**SIZES, tie_word_embeddings=tied)).eval()
    parameters = load_model(saved(model, tmp_path))
    sequences = [torch.randint(0, 96, (n,)) for n in (7, 12)]
    lengths = [len(ids) for ids in sequences]
    with torch.no_grad():
        weights = weights_of(parameters, rotations(parameters))
        hidden = forward(weights, torch.cat(sequences)[None], packed_positions(lengths), packed(lengths))[0]
        logits = (hidden @ weights.lm_head.T).split(lengths)
        for ours, ids in zip(logits, sequences, strict=True):
            theirs = model(ids[None]).logits[0]
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
            assert theirs.std() > 0.1


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"attention_bias": True}, "o_proj.bias"),
        ({"mlp_bias": True}, "down_proj.bias"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, "linear"),
    ],
    ids=["attention bias", "mlp bias", "scaled positions"],
)
def test_what_would_be_left_out_is_refused(more: dict[str, Any], named: str, tmp_path: Path) -> None:
    model = LlamaForCausalLM(LlamaConfig(**SIZES, **more))
    with pytest.raises(ConfigError, match="policy=vllm") as caught:
        load_model(saved(model, tmp_path))
    assert named in str(caught.value)
