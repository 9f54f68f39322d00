"""Whole conversations in the templates of real models: turn by turn they are transformers' ``apply_chat_template``, or it is said that
they are not."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import DataError
from pipelines.policies.chat_codec import ChatCodec
from pipelines.protocols import Message
from tests.policies.templates import FAMILIES, write_folder

PIECES = [
    "go to ",
    "desk 1",
    "\n",
    "\n\n",
    " ",
    "  ",
    "<think>",
    "</think>",
    "Ünï",
    "去",
    "$9.99",
    "assistant",
    "[x]",
    "a",
]
TEXTS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join)
STRIPS_BLANKS = ("llama3", "gemma2", "mistral")
STRIPS_THOUGHTS = ("qwen3", "deepseek-r1")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    @cache
    def read(name: str) -> tuple[ChatCodec, Any]:
        from transformers import PreTrainedTokenizerFast

        folder = write_folder(FAMILIES[name], tmp_path_factory.mktemp("family"))
        return ChatCodec(folder), PreTrainedTokenizerFast.from_pretrained(folder)

    return read


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=12, deadline=None)
@given(talk=st.data())
def test_a_transcript_has_the_ids_of_the_whole_conversation(made: Any, name: str, talk: st.DataObject) -> None:
    """Answers without blanks around them: a model can sample those too, and no template that trims them writes them."""
    codec, tokenizer = made(name)
    said = [talk.draw(TEXTS) for _ in range(5)]
    if name in STRIPS_THOUGHTS:
        said = [text.replace("</think>", "").replace("<think>", "") or "a" for text in said]
    ids, messages = list[int](), list[dict[str, str]]()
    for place, text in enumerate(said):
        if place % 2:
            answer = codec.answer(text.strip() or "a")
            ids += answer
            messages.append(
                {
                    "role": "assistant",
                    "content": codec.message(answer) if name == "deepseek-r1" else text.strip() or "a",
                }
            )
        else:
            ids += codec.chat_prompt([Message("user", text)], continues=place > 0)
            messages.append({"role": "user", "content": text})
    whole = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert ids == whole


@pytest.mark.parametrize("name", FAMILIES)
def test_whether_a_template_only_appends_is_reported(made: Any, name: str) -> None:
    codec, _ = made(name)
    said = " ".join(codec.remarks(grows=True))
    assert ("strips the thoughts" in said) == (name in STRIPS_THOUGHTS)
    assert ("strips blanks" in said) == (name in STRIPS_BLANKS)
    assert codec.remarks(grows=False) == ()
    assert codec.decode([codec.end_of_message]) == FAMILIES[name].special[0]


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages[-3:] %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}<|im_start|>",  # forgets
        "{% for m in messages %}<|im_start|>{{ 'now ' if loop.last }}{{ m.content }}<|im_end|>{% endfor %}<|im_start|>",
    ],
)
def test_a_transcript_that_cannot_grow_is_refused(tmp_path: Path, template: str) -> None:
    folder = write_folder(FAMILIES["smollm2"], tmp_path)
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(DataError, match=r"prompt\.history=2") as caught:
        ChatCodec(folder).remarks(grows=True)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_an_answer_is_what_is_sampled_after_the_prompt(made: Any) -> None:
    """Without what the prompt has opened, and with the blank that Mistral's history has before it."""
    said = "<think>see a</think><action>go</action>"
    for name, sampled in (("qwen2.5", said), ("deepseek-r1", said.removeprefix("<think>")), ("mistral", f" {said}")):
        codec, _ = made(name)
        assert codec.answer(said)[-1] == codec.end_of_message
        assert codec.decode(codec.answer(said)[:-1]).strip() == sampled.strip()
        assert codec.message(codec.answer(said)).replace("\n", "").strip() == said
