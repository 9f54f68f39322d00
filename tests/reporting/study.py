"""Studies of many cells: results of runs that never played, with composed configurations and the platform's own writers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from flows.configure.compose import compose
from flows.paper_settings import paper_settings
from pipelines.artifacts import ArtifactStore
from pipelines.config import ExperimentConfig
from pipelines.errors import DataError
from pipelines.files import json_text, write_json, write_parquet
from pipelines.records import Evaluation, StopReason
from pipelines.reporting.deviations import Settings
from pipelines.reporting.results import read_study
from pipelines.reporting.specification import specifications
from pipelines.reporting.tables import StudyTable, make_table
from pipelines.run_folder import run_fingerprint
from pipelines.run_info import RunInfo
from pipelines.stages.evaluate import evaluation_metrics
from pipelines.stages.results import write_results
from pipelines.stages.tables import evaluations_table
from pipelines.versions import STAGES

ALFWORLD = (
    "pick_and_place_simple", "look_at_obj_in_light", "pick_clean_then_place_in_recep", "pick_heat_then_place_in_recep",
    "pick_cool_then_place_in_recep", "pick_two_obj_and_place",
)  # fmt: skip
PICK_LOOK = ALFWORLD[:2] * 2


@cache
def experiment_of(*overrides: str) -> ExperimentConfig:
    return compose(overrides).experiment


@cache
def settings() -> Settings:
    return paper_settings()


def write_cell(
    root: Path,
    overrides: str,
    finals: Sequence[Sequence[float]],
    *,
    types: Sequence[str] = PICK_LOOK,
    scores: Sequence[float] | None = None,
    seeds: Sequence[int] | None = None,
    panel: str = "p" * 64,
    **said: Any,
) -> list[Path]:
    """The runs of one cell: ``overrides`` of the command line, separated by blanks; of each seed (0, 1, … or ``seeds``) the
    successes of the last evaluation, a task per type; the scores are the successes, or ``scores`` with every seed. ``said``:
    other entries of run.json. Returns the results' folders."""
    cell, folders = experiment_of(*overrides.split()), []
    for seed, final in zip(seeds or range(len(finals)), finals, strict=True):
        experiment = cell.model_copy(update={"seed": seed})
        rows = [
            Evaluation(f"task{n}", kind, 0, bool(won), float(score), 0.0, 1, 0, 0, 0, 0, StopReason.DONE)
            for n, (kind, won, score) in enumerate(zip(types, final, scores or final, strict=True))
        ]
        info = {
            "cell": experiment.cell, "seed": seed, "fingerprint": run_fingerprint(experiment), "panel_sha256": panel,
            "panel_size": len(rows), "stand_in": experiment.model.weights == "stand_in", "config": experiment.values(),
            "versions": {}, "measures": experiment.benchmark.measures, "averages": experiment.data.averages, "remarks": [],
            "commit": "c" * 40, "absent": {}, "stages": STAGES,
        } | said  # fmt: skip
        folder = root / f"{experiment.cell}-{run_fingerprint(cell)[:6]}" / f"seed{seed}"
        evaluation = ArtifactStore(root.parent / f".{root.name}", {}).get_or_make(
            "evaluate", 1, {"folder": str(folder)}, {}, lambda draft, rows=rows: _write(draft, rows)
        )
        folders.append(
            write_results(
                folder,
                RunInfo.model_validate_json(json.dumps(info)),
                {("evaluate", experiment.training.iterations): evaluation},
            )
        )
    return folders


def _write(draft: Any, rows: Sequence[Evaluation]) -> None:
    write_parquet(draft.path("evaluations.parquet"), evaluations_table(rows))
    write_json(draft.path("metrics.json"), evaluation_metrics(rows))


def table_of(root: Path, name: str = "table1") -> StudyTable:
    return make_table(specifications()[name], read_study(root), settings())


def refusal_of(root: Path, name: str = "table1") -> str:
    """What is said instead of a table."""
    try:
        table_of(root, name)
    except DataError as error:
        return str(error)
    raise AssertionError("a table was made")


def write_settings(file: Path) -> Path:
    file.write_text(json_text(settings()))
    return file
