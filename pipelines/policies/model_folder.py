"""A Hugging Face model folder: is it whole (an engine would take seconds to say less clearly that it is not, or say nothing),
and what of it goes with every checkpoint."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from pipelines.config.templates import FOLDER as NAMED
from pipelines.errors import ConfigError, MissingCheckpoint
from pipelines.files import read_object, write_json
from pipelines.weight_files import INDEX, WHOLE, named_by, weight_files

_REMEDY = "restore it, or set model.pretrained=<another folder>"


def check_folder(folder: Path) -> None:
    """Every weight file that the folder names is there in its full length, every token has a row in the embedding, and vLLM reads
    the model as what it is.

    Raises:
        MissingCheckpoint: a file is absent or cut. ConfigError: a token without a row, a shape that vLLM would read wrongly without a
            word, or weights other than those that everybody else reads.
    """
    check_weights(folder)
    check_vocabulary(folder)
    _check_index(folder)
    _check_heads(folder, read_object(folder / "config.json"))


def check_weights(folder: Path) -> None:
    """Every weight file that the folder names is there in its full length.

    Raises:
        MissingCheckpoint: one is absent or cut.
    """
    from safetensors import SafetensorError, safe_open

    try:
        read_object(folder / "config.json")
        files = weight_files(folder)
        for file in files:
            with safe_open(file, framework="np"):  # reads the header, and compares it with the file's length
                pass
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise MissingCheckpoint(f"model folder {folder} is missing, cut or damaged ({error}): {_REMEDY}") from None
    if not files:
        raise MissingCheckpoint(f"model folder {folder} holds no *.safetensors: {_REMEDY}")


def _check_index(folder: Path) -> None:
    """Where there is an index vLLM goes by it, also beside ``model.safetensors``, which transformers and ``policy=local`` take."""
    index, whole = folder / INDEX, folder / WHOLE
    if not (index.is_file() and whole.is_file()):
        return
    try:
        named = named_by(index)
    except (OSError, ValueError, KeyError) as error:
        raise MissingCheckpoint(f"{index} cannot be read ({error!r}): {_REMEDY}") from None
    if others := sorted(named - {WHOLE}):
        raise ConfigError(
            f"{folder} holds {WHOLE}, and {INDEX} names {', '.join(others)}: vLLM would read these and the trainer that; "
            "remove one of the two"
        )


def _check_heads(folder: Path, config: dict[str, Any]) -> None:
    """vLLM's Qwen2 takes hidden_size / heads for the head's size, whatever ``head_dim`` says, and cuts the weights to it."""
    if config.get("model_type") != "qwen2" or not config.get("head_dim"):
        return
    hidden, heads, dim = config["hidden_size"], config["num_attention_heads"], config["head_dim"]
    if heads * dim != hidden:
        raise ConfigError(
            f"{folder}: vLLM runs a Qwen2 only with heads × head_dim = hidden_size, not {heads} × {dim} ≠ {hidden}: choose "
            "another model, or policy=local"
        )


def check_no_code(folder: Path) -> None:
    """Of a folder that is read by somebody who would run the code that it brings, or names in another folder.

    Raises:
        ConfigError: its configuration names code that is not transformers' own. MissingCheckpoint: it cannot be read.
    """
    for name in ("config.json", "tokenizer_config.json"):
        try:
            said = read_object(folder / name).get("auto_map", {}) if (folder / name).is_file() else {}
        except (OSError, ValueError) as error:
            raise MissingCheckpoint(f"{folder / name} cannot be read ({error}): {_REMEDY}") from None
        named = re.findall(r'"([^"]*\.[^"]*)"', json.dumps(said))  # "modeling_own.Own", alone or in a list
        if any(_is_own(reference, folder) for reference in named):
            raise ConfigError(
                f"{folder / name} names Python code of the folder's own (auto_map), which OpenRLHF would run: if transformers knows "
                "the family, remove auto_map; else choose another model"
            )


def _is_own(reference: str, folder: Path) -> bool:
    """A reference is <module>.<class>, of a file of the folder or, behind "--", of another one; stand-ins name transformers' own."""
    module = reference.partition(".")[0]
    return module != "transformers" or (folder / "transformers.py").exists()


def copy_all_but_weights(folder: Path, out: Path) -> None:
    """Configuration, tokenizer and chat templates, whatever their files are called, beside weights of another state."""
    out.mkdir(parents=True, exist_ok=True)
    for file in sorted(folder.iterdir()):
        weights = file.suffix in (".safetensors", ".bin") or file.name.endswith(".index.json")
        if file.is_file() and not weights:
            shutil.copyfile(file, out / file.name)
    if (folder / NAMED).is_dir():
        shutil.copytree(folder / NAMED, out / NAMED, dirs_exist_ok=True)


def copy_as_float32(folder: Path, out: Path) -> None:
    """``copy_all_but_weights``, with a configuration that says float32, beside weights as they were trained: nobody shall read
    them rounded."""
    copy_all_but_weights(folder, out)
    config = read_object(out / "config.json")
    if config.get("dtype") != "float32":
        config.pop("torch_dtype", None)  # its name before transformers 5
        write_json(out / "config.json", config | {"dtype": "float32"})


def check_vocabulary(folder: Path) -> None:
    """Every token of the tokenizer has a row in the embedding, by the configuration: no weights are read. More rows than tokens are
    padding.

    Raises:
        MissingCheckpoint: the tokenizer cannot be read. ConfigError: a token has no row.
    """
    from tokenizers import Tokenizer

    rows = read_object(folder / "config.json").get("vocab_size")
    try:
        tokens = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    except Exception as error:  # tokenizers raises nothing narrower
        raise MissingCheckpoint(f"{folder / 'tokenizer.json'} cannot be read ({error}): {_REMEDY}") from None
    if not tokens:
        raise MissingCheckpoint(f"{folder / 'tokenizer.json'} holds no token: {_REMEDY}")
    last = max(tokens, key=lambda token: tokens[token])
    if isinstance(rows, int) and tokens[last] >= rows:
        raise ConfigError(
            f"{folder}: the tokenizer's token {last!r} has the id {tokens[last]}, and the model an embedding of {rows} rows "
            "(vocab_size): take the tokenizer that belongs to this model"
        )
