"""Chat templates by name: those that a model's folder holds, and two of wide use for folders that hold none."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.errors import ConfigError
from pipelines.files import read_json

FOLDER = "additional_chat_templates"  # of templates by their names, as transformers writes them
FILE = "chat_template.jinja"

# As the published folders of SmolLM2 and Qwen2.5, and of Llama 3, write messages; nothing is said for the user.
USUAL: Mapping[str, str] = {
    "chatml": (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "llama3": (
        "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' "
        "+ message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
    ),
}


def named_templates(folder: Path, settings: Mapping[str, Any]) -> dict[str, str]:
    """Of a model folder, those in files of their own, as newer folders have them, else those in ``tokenizer_config.json``
    (``settings``). A template without a name is the default.

    Raises:
        OSError, ValueError, KeyError, TypeError: a file cannot be read, or is of another form.
    """
    found = {each.stem: each.read_text("utf-8") for each in sorted((folder / FOLDER).glob("*.jinja"))}
    if (folder / FILE).is_file():
        found["default"] = (folder / FILE).read_text("utf-8")
    said: Any = found or settings.get("chat_template")
    if isinstance(said, list):
        said = {each["name"]: each["template"] for each in said}
    return {"default": said} if isinstance(said, str) else {str(k): str(v) for k, v in (said or {}).items()}


def template_text(wanted: str, folder: Path) -> str:
    """Of the template that ``model.template`` chooses: a name, the folder's own first, or a file.

    Raises:
        ConfigError: there is none.
    """
    if "/" in wanted or wanted.endswith(".jinja"):
        try:
            return Path(wanted).read_text("utf-8")
        except (OSError, ValueError) as error:
            raise ConfigError(f"model.template={wanted} cannot be read ({error}): name a file that is there") from None
    try:
        own = named_templates(folder, read_json(folder / "tokenizer_config.json"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        own = {}
    known = dict(USUAL) | own
    if wanted not in known:
        raise ConfigError(
            f"model.template={wanted} is no template of {folder}: set it to one of {', '.join(sorted(known))}, or to a file "
            "(./name.jinja)"
        )
    return known[wanted]


def template_sha256(wanted: str, folder: Path) -> str | None:
    """Of the text that ``template_text`` gives; None: it is not here."""
    try:
        return hashlib.sha256(template_text(wanted, folder).encode()).hexdigest()
    except ConfigError:
        return None
