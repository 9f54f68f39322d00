"""A model folder's chat template, rendered as transformers renders it: the same sandbox, the same extensions.

transformers' own environment (``transformers.utils.chat_template_utils``) is built inside a function that cannot be called
without importing transformers, which costs every process 0.7 s of CPU; jinja2 alone costs 0.04 s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

from pipelines.errors import DataError
from pipelines.protocols import Message

_TODAY = date(2024, 7, 26)  # what Llama's templates write where they are not told the day


class ChatTemplate:
    """``source`` is the template's text, ``tokens`` the special tokens that it may name, ``folder`` the one it is from.

    A template is data of somebody else's: it runs in jinja2's sandbox, which refuses access to Python's internals.

    Raises:
        DataError: the template cannot be parsed.
    """

    def __init__(self, source: str, tokens: Mapping[str, str], folder: Path) -> None:
        import jinja2

        self._tokens, self._folder = dict(tokens), folder
        try:
            self._template = _environment().from_string(source)
        except jinja2.TemplateError as error:
            self._refuse(error)

    def render(self, messages: Sequence[Message]) -> str:
        """The conversation and the header that opens the assistant's next message.

        Raises:
            DataError: the template fails on these messages, or reaches for what the sandbox does not allow.
        """
        said = [{"role": message.role, "content": message.content} for message in messages]
        try:
            rendered: str = self._template.render(
                messages=said, tools=None, documents=None, add_generation_prompt=True, **self._tokens
            )
        except Exception as error:  # the template's code is foreign: it may raise any kind
            self._refuse(error)
        return rendered

    def _refuse(self, error: Exception) -> NoReturn:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(
            f"the chat template of {self._folder} cannot be rendered ({reason}): correct its chat_template, or choose another "
            "model folder"
        ) from None


def read_chat_template(folder: Path, settings: Mapping[str, Any]) -> str:
    """The template's text: a file of its own, as newer folders have it, or in ``tokenizer_config.json`` (``settings``) alone or
    as the one named "default" of several.

    Raises:
        KeyError: there is none. OSError, ValueError: the file cannot be read.
    """
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text("utf-8")
    template = settings["chat_template"]
    if isinstance(template, list):
        template = {each["name"]: each["template"] for each in template}["default"]
    return str(template)


def _environment() -> Any:
    import jinja2.ext
    import jinja2.sandbox

    class Generation(jinja2.ext.Extension):
        """``{% generation %}…{% endgeneration %}`` marks what the assistant wrote, and renders as what it holds."""

        tags = {"generation"}  # noqa: RUF012 (as jinja2 declares it)

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return jinja2.nodes.Scope(body).set_lineno(line)

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _raise, "strftime_now": _TODAY.strftime}
    return environment


def _to_json(value: Any, ensure_ascii: bool = False, **settings: Any) -> str:
    """jinja2's own escapes what HTML would."""
    return json.dumps(value, ensure_ascii=ensure_ascii, **settings)


def _raise(message: str) -> NoReturn:
    import jinja2

    raise jinja2.TemplateError(message)
