"""The rollout's view of a Hugging Face tokenizer: chat prompts as ids, with text never read as markup."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from pipelines.artifacts import read_json
from pipelines.errors import DataError

_USER, _ANSWER = "\x00user\x00", "\x00answer\x00"


class ChatCodec:
    """``TextCodec`` over ``tokenizer.json`` and the chat template (``tokenizer_config.json`` or a file of its own).

    The template is rendered once with marks in place of the texts; what stands between the marks is encoded with
    special tokens, the texts themselves without: "<|im_end|>" in an observation is only text.

    Raises:
        DataError: the folder has no tokenizer or no chat template.
    """

    def __init__(self, folder: Path) -> None:
        try:
            settings = read_json(folder / "tokenizer_config.json")
            file = folder / "chat_template.jinja"  # where newer folders have it
            template = file.read_text("utf-8") if file.is_file() else settings["chat_template"]
            self._markup = Tokenizer.from_file(str(folder / "tokenizer.json"))
            self._plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except (OSError, KeyError, ValueError, Exception) as error:
            raise DataError(
                f"{folder} holds no tokenizer with a chat template ({error}): is it a model folder?"
            ) from None
        self._plain.encode_special_tokens = True
        tokens = {name: _token(settings.get(name)) for name in ("bos_token", "eos_token")}
        self._end = int(self._markup.token_to_id(tokens["eos_token"]))
        opening, rest = _render(template, tokens, answered=False).split(_USER)
        between = _render(template, tokens, answered=True).split(_ANSWER)[1].split(_USER)[0]
        marks = {"open": opening, "after": self._after_end(between), "close": rest}
        self._marks = {name: self._markup.encode(text, add_special_tokens=False).ids for name, text in marks.items()}
        self._encode = lru_cache(maxsize=65536)(self._encode_uncached)

    def _after_end(self, between: str) -> str:
        """What follows the end-of-message token, which the policy samples itself."""
        end = self._markup.id_to_token(self._end)
        return between.split(end, 1)[1] if end in between else between

    def _encode_uncached(self, text: str) -> tuple[int, ...]:
        return tuple(self._plain.encode(text, add_special_tokens=False).ids)

    def encode(self, text: str) -> list[int]:
        return list(self._encode(text))

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._markup.decode(list(ids), skip_special_tokens=False))

    def chat_prompt(self, text: str, *, continues: bool) -> list[int]:
        """See ``TextCodec``."""
        ids: list[int] = self._marks["after" if continues else "open"] + self.encode(text) + self._marks["close"]
        return ids

    @property
    def end_of_message(self) -> int:
        return self._end

    @property
    def vocabulary_size(self) -> int:
        return int(self._markup.get_vocab_size())


def _token(said: Any) -> str:
    """A special token of ``tokenizer_config.json``: its text, a description of it, or none."""
    return str(said["content"] if isinstance(said, dict) else said or "")


def _render(template: str, tokens: dict[str, str], *, answered: bool) -> str:
    """With the tokens that a template may name: Llama's begins with ``bos_token``."""
    import jinja2

    user, answer = {"role": "user", "content": _USER}, {"role": "assistant", "content": _ANSWER}
    messages = [{"role": "user", "content": ""}, answer, user] if answered else [user]
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(messages=messages, add_generation_prompt=True, **tokens)
