"""The record of a finished run as reports compare it: with the settings that came after the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from pipelines.config import ExperimentConfig
from pipelines.run_info import RunInfo, read_run_info

_CHOOSERS = ("name", "source")  # what tells the members of a section's union apart


def read_recorded(results: Path) -> RunInfo:
    """A run's record from its ``results`` folder. A setting that did not exist when the run was made has today's default, which
    is what the code did then: so that older runs stay comparable with newer ones, and differ from the paper only where they do.

    Raises:
        OSError, ValueError: as ``read_run_info``.
    """
    info = read_run_info(results)
    return info.model_copy(update={"config": with_defaults(info.config, ExperimentConfig)})


def with_defaults(values: Mapping[str, Any], section: type[BaseModel]) -> dict[str, Any]:
    """The values of a section, and the defaults of its settings that are not among them. What is unknown stays."""
    completed = dict(values)
    for name, field in section.model_fields.items():
        if name not in completed:
            if not field.is_required() and not field.exclude:
                completed[name] = _plain(field.get_default(call_default_factory=True))
        elif isinstance(inner := completed[name], Mapping) and (kind := _kind_of(field.annotation, inner)):
            completed[name] = with_defaults(inner, kind)
    return completed


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _kind_of(annotation: Any, values: Mapping[str, Any]) -> type[BaseModel] | None:
    """The section that the values are of; None where the annotation has none, or none that they choose."""
    kinds = [
        kind
        for kind in _sections(annotation)
        if all(
            values[key] == kind.model_fields[key].default
            for key in _CHOOSERS
            if key in values.keys() & kind.model_fields
        )
    ]
    return kinds[0] if len(kinds) == 1 else None


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _sections(part)
