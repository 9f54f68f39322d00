"""Chat templates of the world through the codec: what stands between texts, what ends a message, what a prompt opens of it,
and that a template is only data."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.environments.alfworld import prompts as alfworld
from pipelines.environments.base import Answer
from pipelines.environments.webshop import prompts as webshop
from pipelines.errors import DataError, MachineFailure
from pipelines.policies import chat_template
from pipelines.policies.chat_codec import ChatCodec
from pipelines.policies.model_folder import copy_all_but_weights
from pipelines.protocols import Message
from pipelines.sections import Parsing

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
GENERATION = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>"
    "{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINKING = CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
SPECIAL = ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<bos>", "<start_of_turn>", "<end_of_turn>", "<|user|>")
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A tokenizer's folder: 256 bytes, then ``SPECIAL`` from 256 on, then two tags that are no special tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={symbol: i for i, symbol in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in ("<think>", "</think>")])
    tokenizer.save(str(tmp_path / "tokenizer.json"))

    def write(template: Any, *, eos: str | None = "<|im_end|>", **files: dict[str, Any]) -> Path:
        settings = {
            "eos_token": eos,
            "bos_token": {"content": "<bos>"},
            "add_bos_token": False,
            "chat_template": template,
        }
        contents = {"tokenizer_config": settings} | files
        for name, content in contents.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
        return tmp_path

    return write


def prompt(codec: ChatCodec, *texts: str, continues: bool = False) -> str:
    return codec.decode(codec.chat_prompt([Message("user", text) for text in texts], continues=continues))


def names(codec: ChatCodec) -> set[str]:
    return {codec.decode([end]) for end in codec.ends}


# ---------------------------------------------------------------------------------------------------------- templates


def test_chatml_around_the_texts(make: Make) -> None:
    codec = ChatCodec(make(CHATML))
    assert prompt(codec, "go") == "<|im_start|>user\ngo<|im_end|>\n<|im_start|>assistant\n"
    assert prompt(codec, "go", continues=True) == "\n<|im_start|>user\ngo<|im_end|>\n<|im_start|>assistant\n"


def test_each_role_has_its_header(make: Make) -> None:
    codec = ChatCodec(make(CHATML))
    ids = codec.chat_prompt([Message("system", "be brief"), Message("user", "go")], continues=False)
    assert codec.decode(ids) == (
        "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\ngo<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    "template",
    [
        GENERATION,
        CHATML.replace(
            "{% for m in messages %}", "{% for m in messages %}{% if loop.index > 40 %}{% break %}{% endif %}"
        ),
        CHATML.replace(
            "{% for", "{% if strftime_now('%d %b %Y') == '' %}{{ raise_exception('no day') }}{% endif %}{% for"
        ),
        CHATML.replace("m.content }}", "m.content if m.content is string else m.content | tojson(indent=2) }}"),
        [{"name": "tool_use", "template": "{{ tools }}"}, {"name": "default", "template": CHATML}],
    ],
    ids=["generation", "break", "strftime_now", "tojson", "several templates"],
)
def test_the_template_language_of_transformers_is_read(make: Make, template: Any) -> None:
    plain, codec = ChatCodec(make(CHATML)), ChatCodec(make(template))
    for continues in (False, True):
        assert prompt(codec, "go", continues=continues) == prompt(plain, "go", continues=continues)


def test_a_file_of_its_own_is_the_template(make: Make) -> None:
    folder = make("{{ never }}")
    (folder / "chat_template.jinja").write_text(GEMMA)
    assert prompt(ChatCodec(folder), "go").startswith("<bos><start_of_turn>user\ngo<end_of_turn>")


def test_turns_are_those_of_transformers_own_rendering(make: Make) -> None:
    """The independent reference: the whole conversation, rendered by transformers and tokenized at once."""
    from transformers.utils.chat_template_utils import render_jinja_template

    for template in (CHATML, GENERATION, GEMMA):
        codec = ChatCodec(make(template))
        ids = codec.chat_prompt([Message("user", " a mug ")], continues=False)
        ids += [*codec.encode("look"), codec.end_of_message]
        ids += codec.chat_prompt([Message("user", "a desk\n")], continues=True)
        said = [{"role": "user", "content": " a mug "}, {"role": "assistant", "content": "look"}]
        said.append({"role": "user", "content": "a desk\n"})
        rendered, _ = render_jinja_template(
            [said], chat_template=template, add_generation_prompt=True, bos_token="<bos>"
        )
        assert codec.decode(ids) == rendered[0]


@pytest.mark.parametrize("described", [False, True])
def test_a_template_may_begin_with_a_token_of_its_own(make: Make, described: bool) -> None:
    """As Llama's does: once, before the first message, and never again."""
    settings = {"bos_token": {"content": "<bos>"} if described else "<bos>", "eos_token": "<|im_end|>"}
    codec = ChatCodec(make("", tokenizer_config=settings | {"chat_template": "{{- bos_token }}" + CHATML}))
    assert prompt(codec, "go").startswith("<bos><|im_start|>user")
    assert "<bos>" not in prompt(codec, "go", continues=True)


@pytest.mark.parametrize("described", [False, True])
@pytest.mark.parametrize(
    ("said", "begins"),
    [({}, "<bos>"), ({"bos_token": "<|user|>"}, "<bos>"), ({"bos_token": "<|user|>", "added_tokens_decoder": {}}, "<|user|>")],
    ids=["in no other file", "in both", "a newer folder"],
)  # fmt: skip
def test_special_tokens_of_an_older_folder_are_transformers_own(
    make: Make, said: dict[str, Any], begins: str, described: bool
) -> None:
    from transformers import AutoTokenizer

    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": "{{- bos_token }}" + CHATML, **said}
    bos = {"content": "<bos>", "lstrip": False, "rstrip": False, "normalized": False} if described else "<bos>"
    folder = make("", tokenizer_config=settings, special_tokens_map={"bos_token": bos, "eos_token": "<|im_end|>"})
    ids = ChatCodec(folder).chat_prompt([Message("user", "go")], continues=False)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked = [{"role": "user", "content": "go"}]
    assert ids == tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
    assert tokenizer.decode(ids).startswith(f"{begins}<|im_start|>")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ('{"eos_token": "</s>"}', r"map\.json declares eos_token=</s>"),
        ("[3]", r"map\.json cannot"),
        ("{", r"map\.json cannot"),
    ],
)
def test_special_tokens_of_an_older_folder_that_cannot_be_are_one_line(make: Make, content: str, named: str) -> None:
    folder = make(CHATML)
    (folder / "special_tokens_map.json").write_text(content)
    with pytest.raises(DataError, match=named) as caught:
        ChatCodec(folder)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------- a template is data


@pytest.mark.parametrize(
    "attack",
    [
        "{{ cycler.__init__.__globals__.os.popen('touch {mark}').read() }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(messages) }}",
        "{{ ''.join.__self__.format.__globals__ }}",
    ],
)
def test_a_template_runs_no_code(make: Make, tmp_path: Path, attack: str) -> None:
    mark = tmp_path / "ran"
    with pytest.raises(DataError, match=r"SecurityError|UndefinedError") as caught:
        ChatCodec(make(CHATML + attack.replace("{mark}", str(mark))))
    assert not mark.exists()
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("template", "offending"),
    [
        ("{% for m in messages %}{{ m.content }}", "TemplateSyntaxError"),
        ("{{ 1 // 0 }}" + CHATML, "ZeroDivisionError"),
        (CHATML.replace("m.content", "m.text"), "user"),
        (CHATML.replace("m.content", "m.content ~ m.content"), "user"),
        ("{{ raise_exception('only tools') }}", "only tools"),
    ],
    ids=["syntax", "an exception", "no text", "each text twice", "refuses"],
)
def test_a_template_that_cannot_be_used_is_one_readable_line(make: Make, template: str, offending: str) -> None:
    with pytest.raises(DataError, match=offending) as caught:
        ChatCodec(make(template))
    assert "\n" not in str(caught.value)
    assert "chat_template" in str(caught.value)


def test_a_role_that_the_template_refuses_is_named(make: Make) -> None:
    with pytest.raises(DataError, match="System role not supported"):
        ChatCodec(make(GEMMA)).chat_prompt([Message("system", "be brief"), Message("user", "go")], continues=False)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "generation_config.json"])
def test_a_missing_or_damaged_file_is_named(make: Make, name: str) -> None:
    folder = make(CHATML)
    for damaged in ("{", "[]"):
        (folder / name).write_text(damaged)
        with pytest.raises(DataError, match=str(folder)):
            ChatCodec(folder)
    (folder / name).unlink()
    if name != "generation_config.json":  # the one that a folder need not have
        with pytest.raises(DataError, match=str(folder)):
            ChatCodec(folder)


@pytest.mark.parametrize("settings", [{}, {"chat_template": None}, {"chat_template": []}])
def test_a_folder_without_a_chat_template_is_named(make: Make, settings: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"no chat template .*set model\.template=chatml or llama3") as caught:
        ChatCodec(make("", tokenizer_config={"eos_token": "<|im_end|>"} | settings))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        ("{% for i in range(10**9) %}{% endfor %}", "Range too big"),
        ("{{ 10 ** (10 ** 9) }}", "of CPU"),  # jinja2 evaluates it while it compiles, and cannot be interrupted
        ("{{ 'a' * 10**10 }}", "MemoryError"),
        ("{{ 'a' * 10**7 }}", "10,000"),
        (
            "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
            "MemoryError|of CPU",  # whichever bound the machine meets first
        ),
    ],
    ids=["a long range", "a constant", "a long text", "a long answer", "a text that doubles"],
)
def test_a_template_that_never_ends_is_one_line_within_seconds(
    make: Make, monkeypatch: pytest.MonkeyPatch, attack: str, said: str
) -> None:
    monkeypatch.setitem(chat_template._MOST, "cpu_s", 1)
    with pytest.raises(DataError, match="chat_template") as caught:
        ChatCodec(make(CHATML + attack))
    assert re.search(said, str(caught.value))
    assert "\n" not in str(caught.value)


def test_who_ends_a_templates_process_is_told_apart(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """SIGKILL, as where memory is used up, is the machine's failure and not the template's."""
    (tmp_path / "killed.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    monkeypatch.setattr(chat_template.template_process, "__file__", str(tmp_path / "killed.py"))
    with pytest.raises(MachineFailure, match=r"ended by SIGKILL.*launch again"):
        ChatCodec(make(CHATML + "{# killed #}"))


def test_of_named_templates_the_default_is_taken(make: Make) -> None:
    """As files beside the folder's own template, as transformers writes them, or all in a list."""
    folder = make("{{ never }}")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("{{ tools }}")
    with pytest.raises(DataError, match="tool_use"):
        ChatCodec(folder)
    (folder / "chat_template.jinja").write_text(CHATML)
    assert prompt(ChatCodec(folder), "go").startswith("<|im_start|>user\ngo")
    copy_all_but_weights(folder, folder / "copy")
    assert (folder / "copy" / "additional_chat_templates" / "tool_use.jinja").read_text() == "{{ tools }}"


def test_no_prompt_is_cut_or_filled_up(make: Make) -> None:
    """Whom a tokenizer was trained with may have left a length in it, at which transformers' does not cut either."""
    from tokenizers import Tokenizer

    folder = make(CHATML)
    whole = ChatCodec(folder).chat_prompt([Message("user", "look around")], continues=False)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(max_length=4)
    tokenizer.enable_padding(length=100)
    tokenizer.save(str(folder / "tokenizer.json"))
    assert ChatCodec(folder).chat_prompt([Message("user", "look around")], continues=False) == whole
    assert len(ChatCodec(folder).encode("look around")) == len("look around")


# ------------------------------------------------------------------------------------------------- the end of a message


def test_the_templates_own_end_ends_a_message(make: Make) -> None:
    """Qwen base: eos_token is <|endoftext|>, its template ends a turn with <|im_end|>; both stop."""
    codec = ChatCodec(make(CHATML, eos="<|endoftext|>", generation_config={"eos_token_id": [258, 257]}))
    assert codec.decode([codec.end_of_message]) == "<|im_end|>"
    assert names(codec) == {"<|im_end|>", "<|endoftext|>"}
    assert prompt(codec, "next", continues=True).startswith("\n<|im_start|>user")
    assert codec.remarks(grows=False) == ()


def test_an_end_that_no_file_declares_is_said(make: Make) -> None:
    codec = ChatCodec(make(CHATML, eos="<|endoftext|>"))
    (remark,) = codec.remarks(grows=False)
    assert "ends an answer with <|im_end|>, which tokenizer_config.json do not declare" in remark


def test_gemmas_end_of_turn(make: Make) -> None:
    codec = ChatCodec(make(GEMMA, eos="<|endoftext|>"))
    assert codec.decode([codec.end_of_message]) == "<end_of_turn>"
    assert names(codec) == {"<end_of_turn>", "<|endoftext|>"}
    assert prompt(codec, "next", continues=True) == "\n<start_of_turn>user\nnext<end_of_turn>\n<start_of_turn>model\n"


@pytest.mark.parametrize("file", ["generation_config", "config"])
@pytest.mark.parametrize("said", [258, [258]])
def test_every_declared_end_stops(make: Make, file: str, said: Any) -> None:
    codec = ChatCodec(make(CHATML, **{file: {"eos_token_id": said}}))
    assert names(codec) == {"<|im_end|>", "<|endoftext|>"}
    body = codec.encode("look")
    assert [codec.message([*body, end]) for end in sorted(codec.ends)] == ["look", "look"]
    assert codec.message(body) == "look"


def test_the_next_header_may_be_the_end(make: Make) -> None:
    """GLM: the user's header ends the assistant's message; it must not be written twice."""
    template = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}<|assistant|>"
    codec = ChatCodec(make(template, eos="<|endoftext|>", generation_config={"eos_token_id": [258, 262]}))
    assert codec.decode([codec.end_of_message]) == "<|user|>"
    assert prompt(codec, "next", continues=True) == "next<|assistant|>"


def test_a_template_without_an_end_leaves_it_to_the_tokenizer(make: Make) -> None:
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: "
    assert ChatCodec(make(template)).end_of_message == SPECIAL.index("<|im_end|>") + 256
    with pytest.raises(DataError, match="eos_token"):
        ChatCodec(make(template, eos=None))


@pytest.mark.parametrize(
    ("template", "files", "offending"),
    [
        (CHATML, {"generation_config": {"eos_token_id": 4711}}, "4711"),
        (CHATML, {"config": {"eos_token_id": "<|im_end|>"}}, "eos_token_id=<|im_end|>"),
        (CHATML, {"tokenizer_config": {"eos_token": "</s>", "chat_template": CHATML}}, "eos_token=</s>"),
        # The template ends an answer with a token that nobody declares, and writes the declared one behind it.
        (CHATML.replace("<|im_end|>", "<end_of_turn><|im_end|>"), {}, "<end_of_turn>"),
        # The template writes no end, and the files do not agree on one.
        (
            "{% for m in messages %}{{ m.content }}\n{% endfor %}",
            {"generation_config": {"eos_token_id": 258}},
            "<|endoftext|>",
        ),
    ],
)
def test_ends_that_disagree_are_one_line(make: Make, template: str, files: dict[str, Any], offending: str) -> None:
    with pytest.raises(DataError) as caught:
        ChatCodec(make(template, **files))
    assert offending in str(caught.value)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------------------------------- what the prompt opens of it


def test_what_the_prompt_opens_belongs_to_the_message(make: Make) -> None:
    codec = ChatCodec(make(THINKING))
    assert prompt(codec, "go").endswith("assistant\n<think>\n")
    assert prompt(codec, "go", continues=True).endswith("assistant\n<think>\n")
    ids = [*codec.encode("a fridge</think><action>go</action>"), codec.end_of_message]
    assert codec.message(ids) == "<think>\na fridge</think><action>go</action>"
    assert ChatCodec(make(CHATML)).message(ids) == "a fridge</think><action>go</action>"


HEADER = (
    "{% for m in messages %}<|{{ m.role }}|>{{ 'BEFORE' if m.role == 'assistant' }}{{ m.content }}BEHIND{% endfor %}"
)


@pytest.mark.parametrize(
    ("before", "behind", "prompt_ends", "opened"),
    [
        (
            "<think></think>",
            "<|im_end|>",
            "<think>\\n",
            "<think>\n",
        ),  # the history closes at once what the prompt opens
        ("</think>", "<|im_end|>", "<think>", "<think>"),  # the tags differ behind their first character
        ("[/THINK]", "<|im_end|>", "[THINK]", "[THINK]"),
        ("<think>\\n", "<|im_end|>", "<think>\\n", "<think>\n"),  # the history opens it as well
        ("<think>\\n\\n</think>\\n", "<|im_end|>", "<think>\\n\\n</think>\\n", ""),  # a closed thought in both
        ("", "<|im_end|>", "<think></think>", "<think></think>"),
        ("<bot>", "</bot>", "<bot>", ""),  # the header of a turn: it is closed behind the text
        ("<start_of_turn>", "<end_of_turn>", "<start_of_turn>", ""),  # a header that is a special token
    ],
)
def test_what_is_opened_begins_at_a_tag(make: Make, before: str, behind: str, prompt_ends: str, opened: str) -> None:
    template = HEADER.replace("BEFORE", before).replace("BEHIND", behind)
    template += "{% if add_generation_prompt %}<|assistant|>{{ 'OPENED' }}{% endif %}".replace("OPENED", prompt_ends)
    codec = ChatCodec(make(template))
    answer = "I look</think><action>look</action>"
    assert codec.message([*codec.encode(answer), codec.end_of_message]) == opened + answer


@pytest.mark.parametrize(
    ("parse", "action"), [(alfworld.read_answer, "go to fridge 1"), (webshop.read_answer, "click[buy now]")]
)
def test_a_parser_reads_an_answer_whose_thought_stands_in_the_prompt(
    make: Make, parse: Callable[[str, Parsing], Answer], action: str
) -> None:
    answer = f"It may be there.\n</think>\n<action>{action}</action>"
    opens, plain = ChatCodec(make(THINKING)), ChatCodec(make(CHATML))
    for parsing in ("strict", "reference"):
        assert parse(opens.message(opens.encode(answer)), parsing) == Answer(action, True, parsing == "reference")
    said = plain.message(plain.encode(answer))  # nobody opened the thought
    assert parse(said, "strict") == Answer("", False)
    assert parse(said, "reference") == Answer(action, False, True)


# ------------------------------------------------------------------------------------------------------------- cost


def test_the_codec_needs_neither_torch_nor_transformers(make: Make) -> None:
    code = (
        "import sys; from pathlib import Path; from pipelines.policies import codec; "
        f"codec(Path({str(make(CHATML))!r})).encode('a'); "
        "sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
