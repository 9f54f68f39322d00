"""PDDL → SAS by the genuine Fast Downward translator, done once per problem and kept on disk.

The stock engine translates four times per new game (twice at load, twice at reset) and once more for a planner that an
agent never asks. A translation is a pure function of (domain, problem): its plain parts are kept under their hash, as JSON
after a line with its checksum.
"""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.files import sealed, unsealed, warn_damaged

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FORMAT = 3  # raise when Translation's fields or the file's layout change


@dataclass(frozen=True)
class Translation:
    """What the engine needs of a translated problem, free of the translator's classes."""

    sas: bytes
    types: tuple[tuple[str, tuple[str, ...]], ...]
    name_to_type: dict[str, str]
    parameters: dict[str, tuple[tuple[str, str], ...]]
    initial_facts: tuple[tuple[str, tuple[str, ...]], ...]


def translate(domain: str, problem: str, folder: Path | None = None) -> Translation:
    """Read the translation from the cache ``folder``, or make it (50–650 ms) and keep it there, if it can be kept. A damaged file
    is made anew, with a warning."""
    if folder is None:
        return _translate(domain, problem)
    key = hashlib.sha256(f"{FORMAT}\0{domain}\0{problem}".encode()).hexdigest()
    path = folder / key[:2] / f"{key}.json"
    try:
        return _unpack(path.read_bytes())
    except OSError:  # absent, or not to be read: the cache is only a cache
        pass
    except ValueError:
        warn_damaged(path, "its game is translated again")
    made = _translate(domain, problem)
    _keep(path, _pack(made))
    return made


@cache
def _form() -> TypeAdapter[Translation]:
    from pydantic import TypeAdapter

    return TypeAdapter(Translation)


def _pack(translation: Translation) -> bytes:
    return sealed(_form().dump_python(translation, mode="json"))


def _unpack(content: bytes) -> Translation:
    """Raises ValueError: a byte is not as it was written, or it is no translation."""
    return _form().validate_python(unsealed(content))


def _keep(path: Path, content: bytes) -> None:
    """Write the file whole or not at all; a full or read-only disk costs the next episode a translation, no more."""
    draft = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink()


def _translate(domain: str, problem: str) -> Translation:
    import fast_downward

    argv, stdout = sys.argv, sys.stdout  # pddl2sas overwrites both
    try:
        task, sas = fast_downward.pddl2sas(domain, problem, verbose=False)
    finally:
        sys.argv, sys.stdout = argv, stdout
    return Translation(
        sas=sas.encode("utf-8"),
        types=tuple((t.name, tuple(t.supertype_names)) for t in task.types),
        name_to_type={o.name: o.type_name for o in task.objects},
        parameters={a.name: tuple((p.name.strip("?"), p.type_name) for p in a.parameters) for a in task.actions},
        initial_facts=tuple(fact for atom in task.init if (fact := _fact(atom)) is not None),
    )


def _fact(atom: Any) -> tuple[str, tuple[str, ...]] | None:
    """(predicate, arguments) as textworld's ``PddlState`` reads them; None for what it leaves out."""
    from fast_downward.translate.pddl.conditions import Atom
    from fast_downward.translate.pddl.f_expression import Assign

    if isinstance(atom, Atom):
        return None if atom.predicate == "=" else (atom.predicate, tuple(atom.args))
    if isinstance(atom, Assign) and atom.fluent.symbol != "total-cost":
        name = str(atom.expression.value)
        return None if name.isdigit() else (name, tuple(atom.fluent.args))  # digits: distances
    return None
