"""``from=<run folder>``: the overrides that make a run again, from what it left."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from flows.configure.recorded import experiment_of
from flows.configure.spelled import overrides_of
from pipelines.config import ExperimentConfig, RunConfig
from pipelines.errors import ConfigError
from pipelines.files import CHECKSUMS, damaged_file, read_yaml
from pipelines.run_folder import run_fingerprint, run_folder
from pipelines.run_info import read_run_info
from pipelines.schemas import RUN_JSON
from pipelines.sections import FolderData

KEY = "from"
_SAME_CELL = frozenset(
    {"seed", "plan", "execution", "tracker", "hydra"}
)  # what may be said besides of a run, and it is of that cell


def with_remade(overrides: Sequence[str]) -> list[str]:
    """The overrides with those of the run that ``from=`` names before them; what is said besides takes their place.

    Raises:
        ConfigError: it names no run, a damaged one, or one that this code cannot make; or nothing else is said, and it would make
            another.
    """
    named = [override.partition("=")[2] for override in overrides if override.partition("=")[0] == KEY]
    if not named:
        return list(overrides)
    if len(named) > 1:
        raise ConfigError(f"{KEY}={named[0]} {KEY}={named[1]}: a run is made from one; give one")
    said = [override for override in overrides if override.partition("=")[0] != KEY]
    keys = {_key(override) for override in said}
    made = remade(Path(named[0]), keys)
    return [*(override for override in made if not _is_said(_key(override), keys)), *said]


def remade(run: Path, said: Collection[str] = ()) -> list[str]:
    """``run``: its folder, or that of its results. ``said``: the keys of what is said besides. Raises as ``with_remade``."""
    values, recorded = _settings(run)
    try:
        experiment = experiment_of(values)
        overrides = overrides_of(experiment)
    except (ConfigError, ValueError) as error:
        raise _cannot(run, str(error)) from None
    _check_same(run, experiment, recorded, said)
    return overrides


def _check_same(run: Path, experiment: ExperimentConfig, recorded: str | None, said: Collection[str]) -> None:
    """Defaults and stages change with the code, and where the data lie is no value: the folder's name and the record tell.

    Args:
        recorded: the run's fingerprint; None: it is not finished.
    """
    data, same_cell = experiment.data, {key.partition(".")[0] for key in said} <= _SAME_CELL
    chosen = not {"benchmark", "data", "data.root"}.isdisjoint(said)
    if not same_cell and (chosen or not isinstance(data, FolderData)):
        return  # another run is asked for
    own, makes = _folder(run).resolve().parent.name, run_folder(RunConfig(experiment=experiment)).parent.name
    if own == makes and recorded in (None, run_fingerprint(experiment)):
        return
    hint = f"say a value of it to launch that as a new run, e.g. training.iterations={experiment.training.iterations}"
    if isinstance(data, FolderData):
        hint = f"say where its data lie, data.root=<folder> (now {data.folder}), or {hint}"
    raise ConfigError(f"{KEY}={run} is of {own}; this code and data make another run, of {makes}: {hint}")


def _settings(run: Path) -> tuple[Any, str | None]:
    """Its experiment's values and fingerprint, by its sealed record, or where it is not finished the values by the copy for
    people."""
    try:
        for results in (run / "results", run):
            if (results / RUN_JSON).is_file():
                _check_sealed(run, results)
                info = read_run_info(results)
                return info.config, info.fingerprint
        return read_yaml(run / "params.yaml"), None
    except FileNotFoundError:
        seeds = sorted(path.parent for path in run.glob("*/params.yaml"))
        hint = f"it holds runs, name one: {KEY}={seeds[0]}" if seeds else "name one, e.g. runs/<cell>/seed0"
        raise ConfigError(f"{KEY}={run} is no run's folder (no params.yaml, no results/{RUN_JSON}): {hint}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{KEY}={run} cannot be read ({' '.join(str(error).split())})") from None


def _check_sealed(run: Path, results: Path) -> None:
    try:
        damaged = damaged_file(results)
    except FileNotFoundError:
        damaged = CHECKSUMS
    if damaged is not None:
        raise ConfigError(
            f"{KEY}={run}: {results / damaged} is not what was written: remove {results}, and launch the run again"
        )


def _folder(run: Path) -> Path:
    """The run's own, which bears its name."""
    return run.parent if run.resolve().name == "results" and (run / RUN_JSON).is_file() else run


def _cannot(run: Path, why: str) -> ConfigError:
    return ConfigError(f"{KEY}={run}: this version of the code cannot make that run: {why}")


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0].replace("/", ".")


def _is_said(key: str, said: Collection[str]) -> bool:
    """Itself, or as a part of what is chosen anew."""
    return any(key == each or key.startswith(f"{each}.") for each in said)
