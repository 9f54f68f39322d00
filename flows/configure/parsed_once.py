"""The files of ``conf/`` for the configurations of a launch: Hydra reads and parses each of them anew for every one."""

from __future__ import annotations

import copy
from typing import Any

from hydra._internal.config_repository import CachingConfigRepository
from hydra.plugins.config_source import ConfigResult


class ParsedOnce(CachingConfigRepository):
    """A repository of Hydra's that keeps what it has read, and gives away copies: composing changes what it gets."""

    def load_config(self, config_path: str) -> ConfigResult | None:
        return copy.deepcopy(super().load_config(config_path))

    def __deepcopy__(self, memo: dict[int, Any]) -> ParsedOnce:
        return self  # Hydra makes a copy of its repository for every configuration
