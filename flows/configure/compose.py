"""From overrides to a validated configuration, and from any failure to one readable line.

Light to import: a wrong key or value is reported before torch, Prefect or MLflow are loaded.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flows.configure.cells import CHOICE, cell_of, cells
from flows.configure.explain import CONF, explain, explain_validation, there_are
from flows.configure.model_name import model_name
from pipelines.config import RunConfig
from pipelines.errors import ConfigError

_GLOBAL = "# @package _global_"  # its values are the run's, not those of a section of their own

__all__ = ["CONF", "compose", "compose_all", "composed", "composer", "expand", "validated"]


def validated(plain: Mapping[str, Any], overrides: Sequence[str] = ()) -> RunConfig:
    """A composed Hydra configuration (plain containers) as a ``RunConfig``.

    Raises:
        ConfigError: one line per wrong value, joined by "; ".
    """
    values = {key: value for key, value in plain.items() if key not in ("execution", "hydra", "plan", "shared")}
    how = {key: plain[key] for key in ("execution", "plan") if key in plain}
    try:
        return RunConfig.model_validate({"experiment": values, **how})
    except ValidationError as error:
        raise ConfigError(explain_validation(error.errors(), overrides)) from None


def compose(overrides: Sequence[str]) -> RunConfig:
    """Compose ``conf/`` with the overrides and validate. Raises ConfigError for anything the user can mend."""
    return compose_all([overrides])[0]


def compose_all(jobs: Sequence[Sequence[str]]) -> list[RunConfig]:
    """Every job composed and validated; what differs in its seed alone is composed once, for it is slow.

    Raises:
        ConfigError: the first job that is wrong; where its cell alone would be, its file is named.
    """
    known: dict[tuple[str, ...], dict[str, Any]] = {}
    configs = []
    with composer():
        for job in jobs:
            _check_one_cell(job)
            rest, seed = _apart(job)
            try:
                if rest not in known:
                    known[rest] = composed(rest)
                configs.append(validated(known[rest] | seed, job))
            except ConfigError as error:
                raise _blamed(error, job) from None
    return configs


@contextmanager
def composer() -> Iterator[Any]:
    """Hydra, which parses a file of ``conf/`` once in a process: by itself it would do so for every configuration."""
    from hydra import initialize_config_dir
    from hydra._internal.config_repository import CachingConfigRepository
    from hydra.core.global_hydra import GlobalHydra

    class ParsedOnce(CachingConfigRepository):
        """Gives copies away: composing changes what it gets. What was not there is looked for again: it may come, by a file or from
        a plugin."""

        def __init__(self, delegate: Any) -> None:
            super().__init__(delegate)
            self.cache = _parsed(_written(CONF))

        def load_config(self, config_path: str) -> Any:
            found = super().load_config(config_path)
            if found is None:
                self.cache.pop(f"config_path={config_path}", None)
            return copy.deepcopy(found)

        def __deepcopy__(self, memo: object) -> ParsedOnce:
            return self  # Hydra makes a copy of its repository for every configuration

    with initialize_config_dir(str(CONF), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        loader: Any = hydra.config_loader
        loader.repository = ParsedOnce(loader.repository)
        yield hydra


@lru_cache(maxsize=1)
def _parsed(written: tuple[tuple[str, int], ...]) -> dict[str, Any]:
    """By path, what was parsed while the files were written as they are now."""
    return {}


def _written(folder: Path) -> tuple[tuple[str, int], ...]:
    """Every file and when it was written."""
    return tuple((str(file), file.stat().st_mtime_ns) for file in sorted(folder.rglob("*.yaml")))


def _check_one_cell(job: Sequence[str]) -> None:
    """A list of cells would be laid over each other."""
    several = [override for override in job if override.startswith(CHOICE)]
    if len(several) > 1 or any(override.startswith(f"{CHOICE}[") for override in several):
        raise ConfigError(
            f"{' '.join(several)}: a run is of one cell; several are -m '{CHOICE}table1/…,table2/…' or '{CHOICE}glob([…])'"
        )


def _apart(job: Sequence[str]) -> tuple[tuple[str, ...], dict[str, int]]:
    """The overrides without the seed, and the seed."""
    seeds = [override for override in job if re.fullmatch(r"seed=\d+", override)]
    if len(seeds) != 1:
        return tuple(job), {}
    return tuple(override for override in job if override not in seeds), {"seed": int(seeds[0].partition("=")[2])}


def composed(overrides: Sequence[str]) -> dict[str, Any]:
    """The plain configuration, inside of a ``composer``. Raises ConfigError."""
    from hydra import compose as hydra_compose
    from omegaconf import OmegaConf

    try:
        chosen = [as_group(override) for override in overrides]
        plain = OmegaConf.to_container(hydra_compose("config", overrides=chosen), resolve=True)
    except Exception as error:
        raise ConfigError(explain(error, overrides)) from None
    assert isinstance(plain, dict)
    if isinstance(model := plain.get("model"), dict):
        model["name"] = model_name(model)
    return {str(key): value for key, value in plain.items()}


def as_group(override: str) -> str:
    """``training.adapter=lora`` chooses an option of the group below ``training``, which Hydra writes with a slash; ``=null`` chooses
    none, which it writes as a deletion."""
    key, equals, value = override.partition("=")
    group = key.replace(".", "/")
    below = "/" in group and not group.startswith("hydra/") and (CONF / group).is_dir()
    if not below:
        return override
    return f"~{group}" if value == "null" else f"{group}{equals}{value}"


def _blamed(error: ConfigError, job: Sequence[str]) -> ConfigError:
    """The error with the file of the job's cell in front, where the file alone is wrong, without the other overrides."""
    cell = cell_of(job)
    if cell is None or cell not in cells():
        return error
    if not (CONF / "experiment" / f"{cell}.yaml").read_text("utf-8").startswith(_GLOBAL):
        return ConfigError(f"conf/experiment/{cell}.yaml: its first line must be {_GLOBAL}")
    try:
        validated(composed([f"{CHOICE}{cell}"]))
    except ConfigError as own:
        return ConfigError(f"conf/experiment/{cell}.yaml: {own}")
    return error


def expand(overrides: Sequence[str]) -> list[list[str]]:
    """The combinations of a multirun (``a=1,2 b=3,4``, ``glob(…)``, ``range(…)``), by Hydra's own sweeper.

    Raises:
        ConfigError: an override that does not parse, a combination of nothing, or several launchers.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra._internal.utils import create_config_search_path
    from hydra.core.override_parser.overrides_parser import OverridesParser

    loader = ConfigLoaderImpl(config_search_path=create_config_search_path(str(CONF)))
    try:
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
    except Exception as error:
        raise ConfigError(explain(error)) from None
    for override in parsed:
        if override.is_hydra_override() and override.is_sweep_override():
            raise ConfigError(f"{override.input_line}: a launch has one launcher, give one value")
        if override.key_or_group == "experiment":
            override.config_loader = _CellNames()
    try:
        jobs = [list(job) for batch in BasicSweeper.split_arguments(parsed, max_batch_size=None) for job in batch]
    except Exception as error:
        raise ConfigError(explain(error)) from None
    globs = [o.input_line for o in parsed if o.key_or_group == "experiment"]
    if not jobs and globs:
        raise ConfigError(f"{globs[0]}: matches no cell; {there_are()}")
    if not jobs:
        raise ConfigError(f"{' '.join(overrides)}: no combination, a glob(…) or range(…) matches nothing")
    return [[as_group(override) for override in job] for job in jobs]


class _CellNames:
    """Whom Hydra asks what a glob may match; its own loader does not look into the folders of a group."""

    def get_group_options(self, *_: Any, **__: Any) -> list[str]:
        return cells()
