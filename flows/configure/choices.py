"""What a run is by options alone: a job whose overrides choose options and set no value composes to what these options say."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from flows.configure.cells import CHOICE, CONF

GROUPS = ("scale", "benchmark", "model", "algorithm", "empg")
_BESIDES = ("seed", "execution", "tracker", "plan")
_OVERRIDE = "override /"  # in the defaults of a cell's file


def choices_of(overrides: Sequence[str]) -> dict[str, str] | None:
    """The option of each of ``GROUPS``, by the overrides, the cell's file and conf/config.yaml in this order; None where the job or its
    cell says anything else that bears on what the run is, but for its seed."""
    said: dict[str, str] = {}
    by_cell: dict[str, str] | None = {}
    for override in overrides:
        group, _, option = override.partition("=")
        if override.startswith(CHOICE):
            by_cell = _of_cell(option)
        elif group in GROUPS:
            said[group] = option
        elif group.partition(".")[0] not in _BESIDES:
            return None
    return None if by_cell is None else {**_defaults(), **by_cell, **said}


def _of_cell(cell: str) -> dict[str, str] | None:
    """None: its file sets values, or options of other groups."""
    written = _read(f"experiment/{cell}.yaml")
    if written.keys() != {"defaults"}:
        return None
    chosen = {str(key): str(option) for entry in written["defaults"] for key, option in dict(entry).items()}
    if not all(key.startswith(_OVERRIDE) and key.removeprefix(_OVERRIDE) in GROUPS for key in chosen):
        return None
    return {key.removeprefix(_OVERRIDE): option for key, option in chosen.items()}


def _defaults() -> dict[str, str]:
    entries = (entry for entry in _read("config.yaml")["defaults"] if isinstance(entry, dict))
    return {key: str(option) for entry in entries for key, option in entry.items() if key in GROUPS}


@cache
def _read(file: str) -> dict[str, Any]:
    import yaml

    written: dict[str, Any] = yaml.safe_load((CONF / file).read_text("utf-8"))
    return written
