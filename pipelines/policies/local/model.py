"""Make a stand-in: a genuine, untrained ``Qwen2ForCausalLM`` saved as an ordinary Hugging Face folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM
from transformers.utils import logging

from pipelines.config import StandIn
from pipelines.policies.chat_codec import ChatCodec
from pipelines.policies.local.tokenizer import make_tokenizer


def make_stand_in(shape: StandIn, corpus: Iterable[str], out: Path, *, tags: Sequence[str] = (), seed: int = 0) -> None:
    """Write config.json, model.safetensors, generation_config.json and the tokenizer; the same bytes every time.
    ``tags``: the benchmark's own markup, each one token. ``seed``: of the random weights."""
    out.mkdir(parents=True, exist_ok=True)
    vocabulary = make_tokenizer(corpus, out, tags)
    end = ChatCodec(out).end_of_message
    config = Qwen2Config(
        vocab_size=-(-vocabulary // 16) * 16,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.mlp,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        max_position_embeddings=shape.context_length,
        tie_word_embeddings=True,
        eos_token_id=end,
        bos_token_id=None,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2ForCausalLM(config).float()
    model.generation_config = GenerationConfig(eos_token_id=end)
    logging.disable_progress_bar()  # of one small file
    model.save_pretrained(out)
