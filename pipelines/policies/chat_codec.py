"""The rollout's view of a Hugging Face tokenizer: chat prompts as ids, with text never read as markup."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from pipelines.artifacts import read_json
from pipelines.errors import DataError
from pipelines.policies.chat_template import ChatTemplate, read_chat_template
from pipelines.protocols import Message

_MARK = "\x00text\x00"  # stands for a text while the template is rendered
_PIECE = re.compile(r"<[^<>]+>|\[[^\[\]]+\]|.", re.DOTALL)  # a tag, or one character
_LAST_TAG = re.compile(r"(<\w[\w.:-]*>|\[\w[\w.:-]*\])\s*\Z")  # an opening tag that ends a text
_REMEDY = "restore it, or choose another model folder"


class ChatCodec:
    """``TextCodec`` over ``tokenizer.json`` and the folder's chat template.

    The template is rendered once per form of prompt with marks in place of the texts. What stands between the marks is encoded
    with special tokens, the texts themselves without: "<|im_end|>" in an observation is only text.

    The end of a message is the token that the template writes there. Sampling also stops at every other end that the folder
    declares (``eos_token_id`` of ``generation_config.json`` and ``config.json``, the tokenizer's ``eos_token``).

    Raises:
        DataError: the folder has no tokenizer, no chat template that can be rendered, or no end of a message.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        settings, source = _read_settings(folder)
        self._markup, self._plain = _read_tokenizer(folder), _read_tokenizer(folder)
        self._plain.encode_special_tokens = True
        added = self._markup.get_added_tokens_decoder()
        self._special = {number for number, token in added.items() if token.special}
        tokens = _special_tokens(settings)
        self._template = ChatTemplate(source, tokens, folder)
        self._encode = lru_cache(maxsize=65536)(self._encode_uncached)
        self._markup_of = lru_cache(maxsize=None)(self._markup_of_uncached)

        opened, answered = self._pieces(("user",)), self._pieces(("user", "assistant", "user"))
        declared = _declared_ends(folder, self._markup.token_to_id(tokens.get("eos_token", "")))
        self._end = self._end_of(answered[2], declared)
        self._ends = frozenset({self._end, *declared})
        self._opened = _opened(opened[1], answered[1], answered[2], {added[number].content for number in self._special})
        self._trims = f" {_MARK} " not in self._template.render([Message("user", f" {_MARK} ")])

    # ------------------------------------------------------------ text and ids

    def encode(self, text: str) -> list[int]:
        return list(self._encode(text))

    def _encode_uncached(self, text: str) -> tuple[int, ...]:
        return tuple(self._plain.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._markup.decode(list(ids), skip_special_tokens=False))

    def message(self, ids: Sequence[int]) -> str:
        """See ``TextCodec``."""
        return self._opened + self.decode(ids[:-1] if ids and ids[-1] in self._ends else ids)

    @property
    def end_of_message(self) -> int:
        return self._end

    @property
    def ends(self) -> frozenset[int]:
        return self._ends

    # ------------------------------------------------------------ prompts

    def chat_prompt(self, messages: Sequence[Message], *, continues: bool) -> list[int]:
        """See ``TextCodec``."""
        markup = self._markup_of(tuple(message.role for message in messages), continues)
        ids = list(markup[0])
        for message, after in zip(messages, markup[1:], strict=True):
            ids += self.encode(message.content.strip() if self._trims else message.content)
            ids += after
        return ids

    def _markup_of_uncached(self, roles: tuple[str, ...], continues: bool) -> list[list[int]]:
        """Ids of what stands before the first text, between each two, and behind the last."""
        pieces = self._pieces(("user", "assistant", *roles))[2:] if continues else self._pieces(roles)
        if continues:  # the policy itself samples the end of its message
            end = self._markup.id_to_token(self._end)
            pieces[0] = pieces[0].split(end, 1)[1] if end in pieces[0] else pieces[0]
        return [self._ids(piece) for piece in pieces]

    def _pieces(self, roles: Sequence[str]) -> list[str]:
        """What the template writes around the texts of a conversation: one piece more than it has messages."""
        pieces = self._template.render([Message(role, _MARK) for role in roles]).split(_MARK)
        if len(pieces) != len(roles) + 1:
            raise DataError(
                f"the chat template of {self._folder} does not write each text of the messages ({', '.join(roles)}) once: "
                "correct its chat_template, or choose another model folder"
            )
        return pieces

    def _ids(self, markup: str) -> list[int]:
        ids: list[int] = self._markup.encode(markup, add_special_tokens=False).ids
        return ids

    # ------------------------------------------------------------ what the template says of a message

    def _end_of(self, between: str, declared: Sequence[int]) -> int:
        """The token that ends an answer, of what the template writes ``between`` it and the next message: a declared end, else
        the first special token. A template that writes none leaves it to the first declared end."""
        ids = self._ids(between)
        written = [i for i in ids if i in declared] or [i for i in ids if i in self._special] or declared
        if not written:
            raise DataError(
                f"neither the chat template nor eos_token of {self._folder} says how a message ends: {_REMEDY}"
            )
        return written[0]


def _read_settings(folder: Path) -> tuple[dict[str, Any], str]:
    """``tokenizer_config.json`` and the chat template's text."""
    try:
        settings = read_json(folder / "tokenizer_config.json")
        return settings, read_chat_template(folder, settings)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder} holds no chat template that can be read ({error}): is it a model folder? {_REMEDY}"
        ) from None


def _read_tokenizer(folder: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # tokenizers raises nothing narrower
        raise DataError(
            f"{folder / 'tokenizer.json'} cannot be read ({error}): is it a model folder? {_REMEDY}"
        ) from None


def _declared_ends(folder: Path, eos_token: int | None) -> list[int]:
    """Ids at which the folder says that a text ends, the tokenizer's own first."""
    ends = [] if eos_token is None else [eos_token]
    for name in ("generation_config.json", "config.json"):
        try:
            said = read_json(folder / name).get("eos_token_id")
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise DataError(f"{folder / name} cannot be read ({error}): {_REMEDY}") from None
        ends += said if isinstance(said, list) else [] if said is None else [said]
    return list(dict.fromkeys(ends))


def _special_tokens(settings: Mapping[str, Any]) -> dict[str, str]:
    """Texts by name, as a template may name them: Llama's begins with ``bos_token``."""
    found = {name: value for name, value in settings.items() if name.endswith("_token")}
    return {
        name: value["content"] if isinstance(value, dict) else value
        for name, value in found.items()
        if isinstance(value, str | dict)
    }


def _opened(prompt: str, before: str, behind: str, special: Collection[str]) -> str:
    """What the generation prompt opens of the message itself, as "<think>".

    That is what ``prompt`` holds beyond what the template writes ``before`` an answer of the past; a tag is compared as a whole.
    A tag that ends the prompt is opened even where the history writes the same tag. Only the header of a turn is not: the history
    leaves it open too, and it is a special token or is closed ``behind`` the answer.
    """
    pieces = zip(_PIECE.findall(prompt), _PIECE.findall(before), strict=False)
    begins = sum(len(written) for written, _ in takewhile(lambda pair: pair[0] == pair[1], pieces))
    last = _LAST_TAG.search(prompt)
    if last is None or last.start() >= begins:
        return prompt[begins:]
    tag, closing = last[1], last[1].replace(last[1][0], f"{last[1][0]}/", 1)
    header = closing not in before[last.end(1) :] and (tag in special or closing in behind)
    return prompt[begins if header else last.start() :]
