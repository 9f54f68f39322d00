"""The rollout's view of a Hugging Face tokenizer: chat prompts as ids, with text never read as markup."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import takewhile, zip_longest
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from pipelines.config.templates import USUAL
from pipelines.errors import DataError
from pipelines.files import read_object
from pipelines.policies.chat_template import ChatTemplate, read_chat_template
from pipelines.protocols import Message

_MARK = "\x00text\x00"  # stands for a text while the template is rendered
_PIECE = re.compile(r"<[^<>]+>|\[[^\[\]]+\]|.", re.DOTALL)  # a tag, or one character
_LAST_TAG = re.compile(r"(<\w[\w.:-]*>|\[\w[\w.:-]*\])\s*\Z")  # an opening tag that ends a text
_SETTINGS, _OLDER = "tokenizer_config.json", "special_tokens_map.json"
_REMEDY = "restore it, or choose another model folder"
_USER, _TURN = (Message("user", _MARK),), (Message("user", _MARK), Message("assistant", _MARK), Message("user", _MARK))
_PADDED = (Message("user", f" {_MARK} "),)


class ChatCodec:
    """``TextCodec`` over ``tokenizer.json`` and the folder's chat template.

    The template is rendered once per form of prompt with marks in place of the texts, and the texts are put into what it wrote. So
    the ids are those of transformers' ``apply_chat_template``, but that "<|im_end|>" in an observation is only text.

    The end of a message is the token that the template writes there. Sampling also stops at every other end that the folder
    declares (``eos_token_id`` of ``generation_config.json`` and ``config.json``, the tokenizer's ``eos_token``).

    Raises:
        DataError: the folder has no tokenizer, no chat template that can be rendered, no end of a message, or two.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        tokens, said_by, source = _read_settings(folder)
        self._markup, self._plain = _read_tokenizer(folder), _read_tokenizer(folder)
        self._plain.encode_special_tokens = True
        added = self._markup.get_added_tokens_decoder()
        self._special = {number for number, token in added.items() if token.special}
        named = {added[number].content for number in self._special}
        self._names_special = re.compile("|".join(re.escape(name) for name in sorted(named)) or r"(?!)").search
        self._encode = lru_cache(maxsize=8192)(self._encode_uncached)
        self._filled = lru_cache(maxsize=8192)(self._filled_uncached)
        self._markup_of = lru_cache(maxsize=None)(self._markup_of_uncached)

        self._template = ChatTemplate(source, tokens, folder)
        user, turn, padded = self._template.render(_USER, _TURN, _PADDED)
        opened, answered = self._pieces(user, "user"), self._pieces(turn, "user, assistant, user")
        declared = _declared_ends(folder, self._markup, tokens.get("eos_token"), said_by)
        self._end = self._end_of(answered[2], declared)
        self._ends = frozenset({self._end, *(end for ends in declared.values() for end in ends)})
        self._undeclared = () if self._end in itertools.chain(*declared.values()) else tuple(declared)
        self._end_text = self._markup.id_to_token(self._end)
        self._trims = f" {_MARK} " not in padded
        self._prompt_ends, self._going_on = opened[1], answered[2]
        self._opened = _opened(opened[1], answered[1], answered[2], named)
        # What the template writes of an answer beside its text: a blank before it, or before its end.
        self._before = answered[1].removeprefix(opened[1]) if answered[1].startswith(opened[1]) else ""
        self._behind = answered[2].partition(self._end_text)[0] if self._end_text in answered[2] else ""

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

    def answer(self, text: str) -> list[int]:
        """See ``TextCodec``."""
        said = self._sampled(text)
        last = max((self._prompt_ends.rfind(self._markup.id_to_token(i)) for i in self._special), default=-1)
        ids = list(self._filled(self._prompt_ends[max(last, 0) :], ("", ""), (said,)))
        return [*ids, self._end]

    def _sampled(self, text: str) -> str:
        """What is sampled of a message that says ``text``, without its end."""
        for opened in filter(None, (self._opened, self._opened.strip())):
            if text.startswith(opened):
                return text.removeprefix(opened)
        return f"{self._before}{text}{self._behind}"

    @property
    def end_of_message(self) -> int:
        return self._end

    @property
    def ends(self) -> frozenset[int]:
        return self._ends

    # ------------------------------------------------------------ prompts

    def chat_prompt(self, messages: Sequence[Message], *, continues: bool) -> list[int]:
        """See ``TextCodec``."""
        pieces = self._markup_of(tuple(message.role for message in messages), continues)
        texts = tuple(message.content.strip() if self._trims else message.content for message in messages)
        return list(self._filled(self._end_text if continues else "", pieces, texts))

    def _filled_uncached(self, lead: str, pieces: tuple[str, ...], texts: tuple[str, ...]) -> tuple[int, ...]:
        """Ids of the texts with the template's pieces around them, as they are behind ``lead``: a tokenizer may join a text with
        what stands before it. Where a text names a special token, it is encoded by itself, and so stays text."""
        if not any(map(self._names_special, texts)):
            whole = lead + "".join(piece + text for piece, text in zip_longest(pieces, texts, fillvalue=""))
            before, ids = self._ids(lead), self._ids(whole)
            if ids[: len(before)] == before:
                return tuple(ids[len(before) :])
        apart: list[int] = []
        for piece, text in zip_longest(pieces, texts, fillvalue=""):
            apart += [*self._ids(piece), *self.encode(text)]
        return tuple(apart)

    def _markup_of_uncached(self, roles: tuple[str, ...], continues: bool) -> tuple[str, ...]:
        """What stands before the first text, between each two, and behind the last."""
        conversation = ("user", "assistant", *roles) if continues else roles
        (rendered,) = self._template.render([Message(role, _MARK) for role in conversation])
        pieces = self._pieces(rendered, ", ".join(conversation))
        if not continues:
            return tuple(pieces)
        _, end, going_on = pieces[2].partition(self._end_text)  # the policy itself samples the end of its message
        return (going_on if end else pieces[2], *pieces[3:])

    def _pieces(self, rendered: str, roles: str) -> list[str]:
        """What the template writes around the texts of a conversation: one piece more than it has messages."""
        pieces = rendered.split(_MARK)
        if len(pieces) != roles.count(",") + 2:
            raise DataError(
                f"the chat template of {self._folder} does not write each text of the messages ({roles}) once: "
                "correct its chat_template, or choose another model folder"
            )
        return pieces

    def _ids(self, markup: str) -> list[int]:
        ids: list[int] = self._markup.encode(markup, add_special_tokens=False).ids
        return ids

    # ------------------------------------------------------------ what the template says of a message

    def _end_of(self, behind: str, declared: Mapping[str, Sequence[int]]) -> int:
        """The token that ends an answer, of what the template writes ``behind`` it: the first special token, or a declared end
        that is none. A template that writes none leaves it to the declarations."""
        every = [end for ends in declared.values() for end in ends]
        written = [i for i in self._ids(behind) if i in every or i in self._special]
        if written and written[0] not in every and (later := [i for i in written if i in every]):
            raise DataError(
                f"the chat template of {self._folder} ends an answer with {self.decode(written[:1])}, which "
                f"{' and '.join(declared)} do not declare, and writes their {self.decode(later[:1])} behind it: correct "
                "eos_token_id there, or the template"
            )
        if written:
            return written[0]
        if not every:
            raise DataError(
                f"neither the chat template nor eos_token of {self._folder} says how a message ends: {_REMEDY}"
            )
        first, *others = declared.values()
        if others and not any(set(first) <= set(ends) for ends in others):
            said = "; ".join(f"{file}: {' '.join(self.decode([i]) for i in ends)}" for file, ends in declared.items())
            raise DataError(
                f"the chat template of {self._folder} writes no end of an answer, and its files declare different ones "
                f"({said}): correct eos_token_id, or write the end in the template"
            )
        return first[0]

    def remarks(self, *, grows: bool) -> tuple[str, ...]:
        """What must be known of the template. ``grows``: transcripts grow (``history=full``); then also what they have otherwise than
        the template writes the whole conversation. Nothing: it declares its end, and only appends.

        Raises:
            DataError: a growing transcript is otherwise even where the answers are plain texts.
        """
        remarks = []
        if self._undeclared:
            remarks.append(
                f"the chat template ends an answer with {self._end_text}, which {' and '.join(self._undeclared)} do not declare: both "
                "their ends and the template's end an answer"
            )
        return (*remarks, *(self._transcript_remarks() if grows else ()))

    def _transcript_remarks(self) -> list[str]:
        opened = self._opened or "<think>"
        plain, thinking = (f"{self._opened}{_MARK}", f"{opened}{_MARK}</think>{_MARK}")
        blank = f"{self._opened} {_MARK} \n"
        talks = [
            (Message("user", _MARK), Message("assistant", said)) * 2 + (Message("user", _MARK),)
            for said in (plain, thinking, blank)
        ]
        whole, thought, spaced = self._template.render(*talks)
        if whole != self._grown(plain):
            raise DataError(
                f"the chat template of {self._folder} writes earlier turns of a conversation otherwise than when they were the "
                "last: a growing transcript is not what it says; set benchmark.prompt.history=2"
            )
        found = {
            "the chat template strips the thoughts of earlier answers, and the growing transcript keeps them": thought
            != self._grown(thinking),
            "the chat template strips blanks around earlier answers, and the growing transcript keeps those that were sampled": spaced
            != self._grown(blank),
            "the chat template writes no end of an answer, and the growing transcript keeps the token that ended it": self._end_text
            not in self._going_on,
        }
        return [remark for remark, holds in found.items() if holds]

    def _grown(self, answer: str) -> str:
        """A transcript in which two answers were given."""
        (start, opened), more = self._markup_of(("user",), False), self._markup_of(("user",), True)
        answered = (
            f"{self._sampled(answer)}{self._end_text}" if self._end_text in self._going_on else self._sampled(answer)
        )
        return start + _MARK + opened + (answered + more[0] + _MARK + more[1]) * 2


def _read_settings(folder: Path) -> tuple[dict[str, str], str, str]:
    """The special tokens, the file that says ``eos_token``, and the chat template's text."""
    try:
        settings = read_object(folder / _SETTINGS)
        older = _older_tokens(folder, settings)
        said_by = _OLDER if "eos_token" in older else _SETTINGS
        return _special_tokens({**settings, **older}), said_by, read_chat_template(folder, settings)
    except KeyError as error:
        raise DataError(
            f"{folder} holds no chat template ({error.args[0]}): set model.template={' or '.join(USUAL)}, or to the name of "
            "another or to a file (./name.jinja), or choose another model folder"
        ) from None
    except (OSError, ValueError, TypeError, AttributeError) as error:  # also JSON of another form
        raise DataError(
            f"{folder} holds no chat template that can be read ({error}): is it a model folder? {_REMEDY}"
        ) from None


def _older_tokens(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What older folders say in a file of its own. As transformers has it: it counts where ``settings`` hold no
    ``added_tokens_decoder``, and then more than they do."""
    if "added_tokens_decoder" in settings or not (folder / _OLDER).is_file():
        return {}
    try:
        return dict(read_object(folder / _OLDER).items())
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{folder / _OLDER} cannot be read ({error}): {_REMEDY}") from None


def _read_tokenizer(folder: Path) -> Tokenizer:
    """Without what the file may say of whom it was trained with: a length at which texts are cut or filled up."""
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer
    except Exception as error:  # tokenizers raises nothing narrower
        raise DataError(
            f"{folder / 'tokenizer.json'} cannot be read ({error}): is it a model folder? {_REMEDY}"
        ) from None


def _declared_ends(folder: Path, tokenizer: Tokenizer, eos_token: str | None, said_by: str) -> dict[str, list[int]]:
    """Ids at which the folder says that a text ends, by the file that says so, the tokenizer's own first, which is ``said_by``.

    Raises:
        DataError: a file cannot be read, or declares what is no token.
    """
    said: dict[str, list[Any]] = {}
    if eos_token:
        said[said_by] = [tokenizer.token_to_id(eos_token)]
    for name in ("generation_config.json", "config.json"):
        try:
            ends = read_object(folder / name).get("eos_token_id")
        except FileNotFoundError:
            continue
        except (OSError, ValueError, AttributeError) as error:
            raise DataError(f"{folder / name} cannot be read ({error}): {_REMEDY}") from None
        if ends is not None:
            said[name] = ends if isinstance(ends, list) else [ends]
    for name, ends in said.items():
        for end in ends:
            if type(end) is not int or end < 0 or tokenizer.id_to_token(end) is None:
                shown = f"eos_token={eos_token}" if end is None else f"eos_token_id={end}"
                raise DataError(f"{folder / name} declares {shown}, which is no token of tokenizer.json: {_REMEDY}")
    return said


def _special_tokens(settings: Mapping[str, Any]) -> dict[str, str]:
    """Texts by name, as a template may name them: Llama's begins with ``bos_token``."""
    found = {name: value for name, value in settings.items() if name.endswith("_token")}
    texts = {name: value.get("content") if isinstance(value, dict) else value for name, value in found.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


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
