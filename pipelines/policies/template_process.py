"""Renders a chat template in a process of its own, as transformers renders it: the same sandbox, the same extensions.

A template is somebody else's code. The sandbox keeps it from Python's internals, the process from endless work: its CPU time and its
memory are bounded, and jinja2 evaluates constants while it compiles, so compiling happens here too. Run by path with ``-I``; stdin and
stdout are JSON (see ``chat_template.py``).

transformers' own environment (``transformers.utils.chat_template_utils``) is built inside a function that cannot be called without
importing transformers, which costs every process 0.7 s of CPU; jinja2 alone costs 0.04 s.
"""

from __future__ import annotations

import json
import resource
import sys
from datetime import date
from typing import Any, NoReturn

_TODAY = date(2024, 7, 26)  # what Llama's templates write where they are not told the day


def main() -> None:
    asked = json.load(sys.stdin)
    # At the first of the two SIGXCPU comes, which nothing else sends; at the second SIGKILL, as from whoever is short of memory.
    resource.setrlimit(resource.RLIMIT_CPU, (asked["cpu_s"], asked["cpu_s"] + 1))
    resource.setrlimit(resource.RLIMIT_AS, (asked["bytes"], asked["bytes"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    json.dump([_rendered(asked, messages) for messages in asked["conversations"]], sys.stdout)


def _rendered(asked: dict[str, Any], messages: list[dict[str, str]]) -> dict[str, str]:
    """The text, or what the template raised."""
    try:
        text = _template(asked["source"]).render(
            messages=messages, tools=None, documents=None, add_generation_prompt=True, **asked["tokens"]
        )
        if len(text) > asked["characters"]:
            raise OverflowError(f"it writes {len(text):,} characters")
    except Exception as error:  # the template's code is foreign: it may raise any kind
        return {"error": " ".join(f"{type(error).__name__}: {error}".split())}
    return {"text": text}


def _template(source: str) -> Any:
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
    return environment.from_string(source)


def _to_json(value: Any, ensure_ascii: bool = False, **settings: Any) -> str:
    """jinja2's own escapes what HTML would."""
    return json.dumps(value, ensure_ascii=ensure_ascii, **settings)


def _raise(message: str) -> NoReturn:
    import jinja2

    raise jinja2.TemplateError(message)


if __name__ == "__main__":
    main()
