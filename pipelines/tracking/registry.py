"""The trackers that there are: every module of this package that has a ``SETTINGS``."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, create_model

import pipelines.tracking as package
from pipelines.tracking.protocol import TrackerSettings


@cache
def tracker_settings() -> dict[str, type[TrackerSettings]]:
    """The settings of each tracker by its name, which is that of its module."""
    modules = {info.name: import_module(f"{package.__name__}.{info.name}") for info in iter_modules(package.__path__)}
    return {name: module.SETTINGS for name, module in modules.items() if hasattr(module, "SETTINGS")}


class _Chosen(BaseModel):
    """``execution.trackers``: the settings of each tracker; null where it is not chosen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def chosen(self) -> list[TrackerSettings]:
        values = (getattr(self, name) for name in type(self).model_fields)
        return [settings for settings in values if settings is not None]


if TYPE_CHECKING:
    ChosenTrackers = _Chosen
else:
    ChosenTrackers = create_model(
        "ChosenTrackers", __base__=_Chosen, **{name: (kind | None, None) for name, kind in tracker_settings().items()}
    )
