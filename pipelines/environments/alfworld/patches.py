"""What the engine does to textworld and to its planner's binding, or takes from them that is not public."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.patches import require_known

KNOWN = {"fast-downward-textworld": ("20.6.4",), "textworld": ("1.7.0",)}


@contextmanager
def planner_library_at(path: Path) -> Iterator[None]:
    """``fast_downward.load_lib`` loads the file at ``path``: it takes no argument that says which."""
    import fast_downward

    require_known("fast-downward-textworld", KNOWN, "loading the planner from a copy without debug sections")
    interface = fast_downward.interface
    original = interface.DOWNWARD_LIB_PATH
    interface.DOWNWARD_LIB_PATH = str(path)
    try:
        yield
    finally:
        interface.DOWNWARD_LIB_PATH = original


def symbols_of(template: str) -> tuple[Any, ...]:
    """A template of a game's grammar, parsed; textworld itself parses it anew at every step."""
    from textworld.envs.pddl import textgen

    require_known("textworld", KNOWN, "parsing the templates of a game's grammar once")
    return tuple(textgen._parse_and_convert(template, rule_name="symbols"))


def rules_of(grammar: Any) -> Mapping[str, list[Any]]:
    """The rules of a ``ContextSensitiveGrammar`` by their symbol."""
    require_known("textworld", KNOWN, "reading the rules of a game's grammar")
    rules: Mapping[str, list[Any]] = grammar._rules
    return rules
