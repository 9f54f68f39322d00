"""What the files of ``conf/`` set, and what their comments say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from flows.configure.cells import CONF
from flows.configure.compose import composed


@cache
def values(*overrides: str) -> Mapping[str, Any]:
    """The composed configuration by dotted keys, inside of a ``composer``. Raises ConfigError."""
    return dict(_flat("", composed(overrides)))


def _flat(prefix: str, node: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


def commented(file: str) -> Sequence[tuple[str, str, str]]:
    """Of a file below ``conf/``, the values that a comment stands behind: dotted key in the file, value as written, comment."""
    found, way = [], list[tuple[int, str]]()
    for line in (CONF / file).read_text("utf-8").splitlines():
        if key := re.match(r"( *)([\w.]+):\s*(.*?)(?:\s#\s+(.*))?$", line):
            way = [(indent, name) for indent, name in way if indent < len(key[1])] + [(len(key[1]), key[2])]
            found += [(".".join(name for _, name in way), key[3].strip(), key[4])] if key[4] else []
    return found


def options(group: str) -> list[str]:
    """Of a group, by the files of its folder."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def shown(value: Any) -> str:
    """A value as the command line takes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, float):
        return re.sub(r"e([-+])0", r"e\1", f"{value:g}")
    return str(value) if value != "" else '""'
