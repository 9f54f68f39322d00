"""Every value that a section of the configuration can hold: its type in words, its default, and what its docstring says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_BOUNDS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
_WORDS = {int: "whole number", float: "number", bool: "true or false", str: "text", Path: "path", NoneType: "null"}


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value. ``default``: of its section; ``...``: it has none. ``free``: why it is no part of what a run is, or ""."""

    key: str
    type: str
    default: Any
    meaning: str
    free: str


def leaves(section: type[BaseModel], prefix: str) -> Iterator[Leaf]:
    """The values of a section and of those inside of it, with ``prefix`` before their names. What chooses among several sections has a
    part of the page for each, and is left out here; so is the word by which a group's option is known."""
    for name, field in section.model_fields.items():
        key, inner = f"{prefix}{name}", sections_of(field)
        if len(inner) > 1 or _is_one_word(field):
            continue
        if not inner or None in _parts(field.annotation):
            words = "a section, or null" if inner else _type(field)
            meaning = said(section, name) or " ".join(map(about, inner))
            yield Leaf(key, words, _default(field), meaning, _free(field))
        for each in inner:
            yield from leaves(each, f"{key}.")


def sections_of(field: FieldInfo) -> list[type[BaseModel]]:
    """The sections that a field may hold; none: it holds a plain value."""
    return [part for part in _parts(field.annotation) if isinstance(part, type) and issubclass(part, BaseModel)]


def said(section: type[BaseModel], name: str) -> str:
    """Of a field, by the docstring of its section or of the nearest base: the sentence that begins with its name and a colon, or else
    those that name it."""
    docstrings = list(_docstrings(section))
    begins = re.compile(rf"(?:``\w+``, )*``{name}``(?:, ``\w+``)*(?: (\([^)]*\)))?: ")
    for sentence in (each for docstring in docstrings for each in _sentences(docstring)):
        if begun := begins.match(sentence):
            return markdown((f"{begun[1]} " if begun[1] else "") + sentence[begun.end() :])
    for docstring in docstrings:
        if named := [each for each in _sentences(docstring) if f"``{name}``" in each]:
            return markdown(" ".join(named))
    return ""


def about(section: type[BaseModel]) -> str:
    """What a docstring says of the whole section: its sentences that name no field of it."""
    sentences = _sentences(next(_docstrings(section), ""))
    return markdown(
        " ".join(each for each in sentences if not any(f"``{name}``" in each for name in section.model_fields))
    )


def _docstrings(section: type[BaseModel]) -> Iterator[str]:
    return (text for base in section.__mro__ if base is not BaseModel and (text := vars(base).get("__doc__")))


def _sentences(docstring: str) -> list[str]:
    """A sentence ends with a point; so does what is said of a field where the next field's begins behind a semicolon."""
    text = " ".join(docstring.partition("Raises:")[0].split())
    return re.split(r"(?<=[.])\s+(?=[A-Z`\"])|;\s+(?=``\w+``(?:, ``\w+``)*:)", text)


def markdown(text: str) -> str:
    """What a docstring says, for a cell of a table."""
    text = re.sub(r"``([^`]+)``", r"`\1`", text).strip().rstrip(".;").replace("|", "\\|")
    return re.sub(r"\bNone\b", "null", text)


def _parts(annotation: Any) -> list[Any]:
    """Of a union, however deep; None for null."""
    if get_origin(annotation) is Annotated:
        return _parts(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [part for each in get_args(annotation) for part in _parts(each)]
    return [None if annotation is NoneType else annotation]


def _type(field: FieldInfo) -> str:
    return _words(Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation)


def _words(annotation: Any) -> str:
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return " ".join(filter(None, (_words(inside[0]), _bounds(inside[1:]))))
    if origin in (Union, UnionType):
        return ", or ".join(_words(part) for part in inside)
    if origin is Literal:
        return " · ".join(f"`{value}`" for value in inside)
    if origin is tuple:
        return f"list of {_words(inside[0])}"
    return _WORDS.get(annotation) or str(getattr(annotation, "__name__", annotation))


def _bounds(metadata: Any) -> str:
    """pydantic nests them in a field of their own where a name stands for the type."""
    found = []
    for each in metadata:
        found += [_bounds(each.metadata)] if isinstance(each, FieldInfo) else []
        found += [f"{sign} {getattr(each, name):g}" for name, sign in _BOUNDS.items() if hasattr(each, name)]
    return ", ".join(filter(None, found))


def _is_one_word(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1


def _default(field: FieldInfo) -> Any:
    return ... if field.is_required() else field.get_default(call_default_factory=True)


def _free(field: FieldInfo) -> str:
    return field.description or "" if field.exclude else ""
