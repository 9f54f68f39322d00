"""The run's folder: its name, its lock, its parameters, and whether it is finished. Light to import."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.artifacts import fingerprint
from pipelines.config import ExperimentConfig, RunConfig
from pipelines.config.templates import template_sha256
from pipelines.errors import RunLocked
from pipelines.files import atomic_write_text, damaged_file, read_json
from pipelines.sections import FolderData
from pipelines.versions import STAGES

_VERSION = 3  # of the folders' names, and of what a run is


def run_fingerprint(experiment: ExperimentConfig) -> str:
    """Identity of a run: every value that bears on its numbers, the seed included, and what its stages compute."""
    values = {"experiment": experiment.values(), "stages": STAGES, **_template(experiment)}
    return fingerprint("run", _VERSION, values, {})


def run_folder(config: RunConfig) -> Path:
    """``runs/<cell>-<settings>/seed<k>``: the cell for people, six digits of the settings so that two runs of one cell
    with, say, different learning rates, on data from different folders, or by another text of one template's file, never share a
    folder."""
    experiment, data = config.experiment, config.experiment.data
    settings = {name: value for name, value in experiment.values().items() if name != "seed"} | _template(experiment)
    if isinstance(data, FolderData):
        settings["data_folder"] = str(data.folder)
    digits = fingerprint("settings", _VERSION, settings, {})[:6]
    return config.execution.runs / f"{experiment.cell}-{digits}" / f"seed{experiment.seed}"


def _template(experiment: ExperimentConfig) -> dict[str, str | None]:
    """A chosen template is its text, whatever file has it: one that was edited makes other prompts."""
    model = experiment.model
    return {} if model.template is None else {"template": template_sha256(model.template, Path(model.pretrained))}


def results_folder(config: RunConfig) -> Path:
    return run_folder(config) / "results"


def is_finished(config: RunConfig) -> bool:
    """True when the run's results are there and are what was written: a lost or damaged file is made again from the
    artifacts by the next launch."""
    results = results_folder(config)
    try:
        record = read_json(results / "run.json")
        return damaged_file(results) is None and bool(record["fingerprint"] == run_fingerprint(config.experiment))
    except (OSError, ValueError, KeyError, TypeError):
        return False


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the run's folder. The lock is the operating system's: it goes when its process dies, however it dies.

    Raises:
        RunLocked: another process holds it.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise RunLocked(
            f"run {folder} is already being executed by another process: wait for it, or stop it and launch again"
        ) from None
    try:
        yield
    finally:
        lock.release()


def write_params(folder: Path, config: RunConfig) -> None:
    """The resolved configuration, once, for everybody: ``params.yaml`` (experiment values only: paths and worker
    counts are not part of what the run is), below the command that makes it again."""
    import yaml

    text = yaml.safe_dump(config.experiment.values(), sort_keys=False, allow_unicode=True)
    if config.command:
        text = f"# {config.command}\n{text}"
    atomic_write_text(folder / "params.yaml", text)
