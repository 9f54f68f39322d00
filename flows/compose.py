"""From overrides to a validated configuration, and from any failure to one readable line.

Light to import: a wrong key or value is said before torch, Prefect or MLflow are loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from flows.explain import CONF, explain, explain_validation
from pipelines.config import RunConfig
from pipelines.errors import ConfigError

__all__ = ["CONF", "compose", "expand", "validated"]


def validated(composed: Mapping[str, Any], overrides: Sequence[str] = ()) -> RunConfig:
    """A composed Hydra configuration (plain containers) as a ``RunConfig``.

    Raises:
        ConfigError: one line per wrong value, joined by "; ".
    """
    values = {key: value for key, value in composed.items() if key not in ("execution", "hydra", "plan")}
    how = {key: composed[key] for key in ("execution", "plan") if key in composed}
    try:
        return RunConfig.model_validate({"experiment": values, **how})
    except ValidationError as error:
        raise ConfigError(explain_validation(error.errors(), overrides)) from None


def compose(overrides: Sequence[str]) -> RunConfig:
    """Compose ``conf/`` with the overrides and validate. Raises ConfigError for anything the user can mend."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            composed = hydra_compose("config", overrides=list(overrides))
            plain = OmegaConf.to_container(composed, resolve=True)
    except Exception as error:
        raise ConfigError(explain(error)) from None
    assert isinstance(plain, dict)
    return validated({str(key): value for key, value in plain.items()}, overrides)


def expand(overrides: Sequence[str]) -> list[list[str]]:
    """The combinations of a multirun (``a=1,2 b=3,4``, ``glob(…)``, ``range(…)``), by Hydra's own sweeper.

    Raises:
        ConfigError: an override that does not parse, or a combination of nothing.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra._internal.utils import create_config_search_path
    from hydra.core.override_parser.overrides_parser import OverridesParser

    loader = ConfigLoaderImpl(config_search_path=create_config_search_path(str(CONF)))
    try:
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
        jobs = [list(job) for batch in BasicSweeper.split_arguments(parsed, max_batch_size=None) for job in batch]
    except Exception as error:
        raise ConfigError(explain(error)) from None
    if not jobs:
        raise ConfigError(f"{' '.join(overrides)}: no combination, a glob(…) or range(…) matches nothing")
    return jobs
