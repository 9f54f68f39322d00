"""Where runs depart from the paper's settings: their recorded configurations beside the composed ``scale=paper``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import DataError
from pipelines.files import read_json

Settings = Mapping[str, Mapping[str, Any]]  # flows.paper_settings
Run = tuple[str, str, Mapping[str, Any]]  # one of a row of a table: the row's name, its method, the run's configuration

TITLE = "Deviations from the paper's settings (scale=paper)"
HEADER = ("Setting", "Here", "Paper", "Where")

# What a row of a table names itself; what bears on nothing without training; what makes a run react.
_IN_THE_ROW = {"seed", "scale", "empg"}
_OF_TRAINING = {"algorithm", "training"}
_OF_REACT = {"benchmark.prompt.history", "rollout.max_context_tokens"}


@dataclass(frozen=True, order=True)
class Deviation:
    """``setting``: its key, with dots; ``here``, ``paper``: its values as text."""

    setting: str
    here: str
    paper: str


def read_settings(file: Path) -> Settings:
    """What ``flows.paper_settings`` wrote. Raises DataError when the file does not hold it."""
    try:
        settings = read_json(file)
        _ = [settings[group].items() for group in ("benchmark", "algorithm", "model")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{file} does not hold the paper's settings ({error}): make them with `python -m flows.paper_settings {file}`"
        ) from None
    return dict(settings)


def deviations_of(config: Mapping[str, Any], method: str, settings: Settings) -> set[Deviation]:
    """The deviations of a run that stands in a row of this method."""
    left_out = _IN_THE_ROW | (set() if config["training"]["iterations"] else _OF_TRAINING)
    left_out |= _OF_REACT if method == "react" else set()
    paper = dict(settings["benchmark"].get(config["benchmark"]["name"], {}))
    for group in ("algorithm", "model"):
        paper[group] = settings[group].get(config[group]["name"])
    return {found for found in _differences(config, paper) if not left_out & _parents(found.setting)}


def declared(runs: Iterable[Run], settings: Settings) -> dict[Deviation, str]:
    """Every deviation with where it holds: on which benchmarks, or in which of their rows."""
    cells: dict[Deviation, list[tuple[str, str]]] = {}
    rows: dict[str, list[str]] = {}
    for row, method, config in runs:
        benchmark = str(config["benchmark"]["name"])
        rows.setdefault(benchmark, []).append(row)
        for deviation in deviations_of(config, method, settings):
            cells.setdefault(deviation, []).append((benchmark, row))

    def where(at: Sequence[tuple[str, str]]) -> Iterator[str]:
        for benchmark, there in rows.items():
            here = [row for on, row in at if on == benchmark]
            if here:
                yield benchmark if len(here) == len(there) else f"{benchmark}: {'; '.join(here)}"

    return {deviation: ", ".join(where(cells[deviation])) for deviation in sorted(cells)}


def _differences(here: Mapping[str, Any], paper: Mapping[str, Any], prefix: str = "") -> Iterator[Deviation]:
    """The settings that differ. Sections of one kind are compared key by key, others as a whole."""
    for key in sorted(here.keys() | paper.keys()):
        one, other = here.get(key), paper.get(key)
        if one == other:
            continue
        if isinstance(one, Mapping) and isinstance(other, Mapping) and _kind(one) == _kind(other):
            yield from _differences(one, other, f"{prefix}{key}.")
        else:
            yield Deviation(f"{prefix}{key}", _text(one), _text(other))


def _kind(section: Mapping[str, Any]) -> Any:
    return section.get("source", section.get("name"))


def _parents(setting: str) -> set[str]:
    """The setting and the sections that it is in: of a.b.c, these are a, a.b and a.b.c."""
    parts = setting.split(".")
    return {".".join(parts[: n + 1]) for n in range(len(parts))}


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        kind, inner = _kind(value), ", ".join(f"{k}={_text(v)}" for k, v in sorted(value.items()) if v != _kind(value))
        return inner if kind is None else f"{kind} ({inner})" if inner else str(kind)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
