"""A model folder's chat template: where it stands, and what it makes of a conversation."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipelines.config.templates import named_templates
from pipelines.errors import DataError, MachineFailure
from pipelines.policies import template_process
from pipelines.protocols import Message

_MOST = {"cpu_s": 3, "bytes": 1 << 29, "characters": 1_000_000}  # time; memory; of a conversation
_PATIENCE_S = 60.0  # of the clock, for a machine that is busy


class ChatTemplate:
    """``source`` is the template's text, ``tokens`` the special tokens that it may name, ``folder`` the one it is from."""

    def __init__(self, source: str, tokens: Mapping[str, str], folder: Path) -> None:
        self._source, self._tokens, self._folder = source, tuple(sorted(tokens.items())), folder

    def render(self, *conversations: Sequence[Message]) -> list[str]:
        """Each conversation, with the header that opens the assistant's next message. Tools are not told, as in transformers where
        none are given. One process renders all of them.

        Raises:
            DataError: the template cannot be parsed, fails on these messages, reaches for what the sandbox does not allow, or
                takes more than 3 s of CPU or 512 MiB.
            MachineFailure: its process was ended from outside.
        """
        try:
            return _rendered(self._source, self._tokens, tuple(tuple(messages) for messages in conversations))
        except ValueError as error:
            raise DataError(
                f"the chat template of {self._folder} cannot be rendered ({error}): correct its chat_template, or choose "
                "another model folder"
            ) from None


@lru_cache(maxsize=64)
def _rendered(
    source: str, tokens: tuple[tuple[str, str], ...], conversations: tuple[tuple[Message, ...], ...]
) -> list[str]:
    """Raises ValueError with the reason, in one line; MachineFailure: somebody else ended the process."""
    said = [[{"role": m.role, "content": m.content} for m in messages] for messages in conversations]
    asked = json.dumps({"source": source, "tokens": dict(tokens), "conversations": said, **_MOST})
    command = [sys.executable, "-I", str(template_process.__file__)]
    try:
        done = subprocess.run(command, input=asked.encode(), capture_output=True, timeout=_PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        raise ValueError(f"it takes more than {_PATIENCE_S:g} s") from None
    if done.returncode == -signal.SIGXCPU:
        raise ValueError(f"it takes more than {_MOST['cpu_s']} s of CPU")
    if done.returncode < 0:
        raise MachineFailure(
            f"the process that rendered a chat template was ended by {signal.Signals(-done.returncode).name}, as the system does where "
            "memory is used up: free some and launch again"
        )
    if done.returncode:
        raise ValueError(f"its process ended with {' '.join(done.stderr.decode(errors='replace').split())[-200:]}")
    answers = json.loads(done.stdout)
    for answer in answers:
        if "error" in answer:
            raise ValueError(answer["error"])
    return [answer["text"] for answer in answers]


def read_chat_template(folder: Path, settings: Mapping[str, Any]) -> str:
    """The template's text, of several named ones the one called "default", as transformers takes it where no tools are given.
    ``settings``: of ``tokenizer_config.json``.

    Raises:
        KeyError: there is none, or none is the default. OSError, ValueError, TypeError: a file cannot be read.
    """
    found = named_templates(folder, settings)
    if not found:
        raise KeyError("neither in a file of its own nor in tokenizer_config.json")
    if "default" not in found:
        raise KeyError(f"of its named templates {', '.join(sorted(found))} none is called default")
    return found["default"]
