"""The setup stage: the benchmark's data, its fixed panels, and the stand-in model with its tokenizer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines import policies, registry
from pipelines.config.views import DataView, PanelView, PlayingView, StandInView
from pipelines.environments.base import Benchmark, Panel, Tick
from pipelines.errors import ConfigError, DataError
from pipelines.records import Task


def prepare_data(view: DataView, folder: Path, *, workers: int, tick: Tick) -> None:
    """Write the benchmark's data below ``folder``. The benchmark is built with its default settings, for the others make no
    other data."""
    spec = registry.benchmark_spec(view.benchmark)
    spec.build(spec.config.model_validate({"name": spec.name}), view.data).prepare(folder, workers=workers, tick=tick)


def make_stand_in(view: StandInView, benchmark: Benchmark, data: Path, out: Path) -> None:
    """Write the untrained stand-in into the folder ``out``."""
    from pipelines.policies import make_stand_in as make

    make(view.stand_in, benchmark.corpus(data), out, tags=view.tags, seed=view.seed)


def chat_remarks(model: Path, view: PlayingView) -> tuple[str, ...]:
    """What must be known of how a pretrained model's chat template is used.

    Raises:
        DataError: its tokenizer or template cannot be used, or not with transcripts that grow.
    """
    return policies.chat_remarks(model, grows=view.benchmark.prompt.history == "full")


def evaluation_tasks(view: PanelView, panels: Mapping[str, Panel]) -> tuple[Task, ...]:
    """The evaluation's tasks: the first ``games`` of the split, whose order is fixed and balanced over types.

    Raises:
        DataError: the data has no such split. ConfigError: the split has fewer tasks.
    """
    if view.split not in panels:
        raise DataError(f"the data has no split {view.split}, only {', '.join(panels)}: set benchmark.evaluation_split")
    tasks = panels[view.split].tasks
    if view.games > len(tasks):
        raise ConfigError(
            f"evaluation.games={view.games} but split {view.split} has {len(tasks)} tasks: lower evaluation.games or make "
            f"more (data.{view.split}=…)"
        )
    return tasks[: view.games]


def panel_hash(tasks: Sequence[Task]) -> str:
    """SHA-256 over the ids, types and hashes of the tasks that are really played, in order."""
    lines = "".join(f"{task.id} {task.task_type} {task.sha256}\n" for task in tasks)
    return hashlib.sha256(lines.encode()).hexdigest()
