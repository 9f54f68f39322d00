"""``from=<run folder>``: the overrides that make a run again, from what it left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flows.configure.explain import explain_validation
from flows.configure.spelled import overrides_of
from pipelines.config import ExperimentConfig
from pipelines.errors import ConfigError
from pipelines.run_info import read_run_info
from pipelines.schemas import RUN_JSON

KEY = "from"


def with_remade(overrides: Sequence[str]) -> list[str]:
    """The overrides with those of the run that ``from=`` names before them; what is said besides takes their place.

    Raises:
        ConfigError: it names no run, or one that this code cannot make.
    """
    named = [override.partition("=")[2] for override in overrides if override.partition("=")[0] == KEY]
    if not named:
        return list(overrides)
    if len(named) > 1:
        raise ConfigError(f"{KEY}={named[0]} {KEY}={named[1]}: a run is made from one; give one")
    said = [override for override in overrides if override.partition("=")[0] != KEY]
    keys = {_key(override) for override in said}
    return [*(override for override in remade(Path(named[0])) if _key(override) not in keys), *said]


def remade(run: Path) -> list[str]:
    """``run``: its folder, or that of its results. Raises ConfigError."""
    try:
        return overrides_of(ExperimentConfig.model_validate(_settings(run)))
    except ValidationError as error:
        why = explain_validation(error.errors())
    except ValueError as error:
        why = str(error)
    raise ConfigError(f"{KEY}={run}: this version of the code cannot make that run: {why}")


def _settings(run: Path) -> Any:
    """Its experiment's values, by its sealed record, or where it is not finished by the copy for people."""
    import yaml

    try:
        for results in (run / "results", run):
            if (results / RUN_JSON).is_file():
                return read_run_info(results).config
        return yaml.safe_load((run / "params.yaml").read_text("utf-8"))
    except FileNotFoundError:
        seeds = sorted(path.parent for path in run.glob("*/params.yaml"))
        hint = f"it holds runs, name one: {KEY}={seeds[0]}" if seeds else "name one, e.g. runs/<cell>/seed0"
        raise ConfigError(f"{KEY}={run} is no run's folder (no params.yaml, no results/{RUN_JSON}): {hint}") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{KEY}={run} cannot be read ({' '.join(str(error).split())})") from None


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0].replace("/", ".")
