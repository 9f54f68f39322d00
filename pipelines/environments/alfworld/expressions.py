"""The expressions of a game's text grammar: ``r``, ``r.name``, ``o.indefinite + ' ' + o.name``, ``r.name or r.id``.

textworld hands them to Python's ``eval``, so that a game file runs any code. The genuine grammars need a variable, its properties,
quoted text, ``+`` and ``or``; these are read here, and nothing else is.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pipelines.errors import DataError

_PROPERTIES = frozenset({"id", "type", "name", "noun", "adj", "desc", "room_type", "definite", "indefinite"})
_LONGEST = 200  # characters; the genuine ones have at most 27
_READ = "a variable, its properties, quoted text, + and or"


@lru_cache(maxsize=256)
def parsed(expression: str) -> ast.expr:
    """The expression's tree, all of whose nodes ``value`` knows.

    Raises:
        DataError: it says something else than the genuine grammars do.
    """
    try:
        tree = ast.parse(expression.strip(), mode="eval").body if len(expression) <= _LONGEST else None
    except (SyntaxError, ValueError, MemoryError, RecursionError):  # what Python's parser raises, by kind of nonsense
        tree = None
    if tree is None or not _is_known(tree):
        raise _refused(expression, f"only {_READ} are read, none of it is run")
    return tree


def value(expression: str, variables: Mapping[str, Any]) -> str:
    """What it says of ``variables`` (name → textworld's ``EntityInfo``).

    Raises:
        DataError: as ``parsed``; a variable that the sentence does not bind; ``+`` of what is no text.
    """
    try:
        return str(_value(parsed(expression), variables))
    except KeyError as error:
        raise _refused(expression, f"its sentence binds no variable {error}") from None
    except TypeError as error:
        raise _refused(expression, str(error)) from None


def _is_known(node: ast.expr) -> bool:
    match node:
        case ast.Name() | ast.Constant(value=str()):
            return True
        case ast.Attribute(value=ast.Name(), attr=name):
            return name in _PROPERTIES
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _is_known(left) and _is_known(right)
        case ast.BoolOp(op=ast.Or(), values=values):
            return all(map(_is_known, values))
    return False


def _value(node: ast.expr, variables: Mapping[str, Any]) -> Any:
    match node:
        case ast.Name(id=name):
            return variables[name]
        case ast.Attribute(value=ast.Name(id=name), attr=attribute):
            return getattr(variables[name], attribute)
        case ast.Constant(value=text):
            return text
        case ast.BinOp(left=left, right=right):
            return _value(left, variables) + _value(right, variables)
        case ast.BoolOp(values=[*others, last]):
            return next((said for node in others if (said := _value(node, variables))), None) or _value(last, variables)
    raise AssertionError(ast.dump(node))


def _refused(expression: str, why: str) -> DataError:
    shown = expression if len(expression) <= _LONGEST else f"{expression[:_LONGEST]}…"
    return DataError(f"the grammar's expression {shown!r}: {why}; download or generate the games again")
