"""A finished run's results: small, complete, byte-reproducible. What tables and figures are made from."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.artifacts import Artifact
from pipelines.commit import code_commit, commit_date
from pipelines.config import ExperimentConfig
from pipelines.config.views import AdvantageView, AnalysisView, run_versions
from pipelines.files import flush, read_json, replaced_folder, write_checksums, write_json, write_parquet
from pipelines.records import Task
from pipelines.run_folder import run_fingerprint
from pipelines.run_info import RunInfo
from pipelines.schemas import FINAL_COLUMN, METRICS_JSON, RUN_EVALUATIONS, RUN_JSON, RUN_METRICS
from pipelines.stages import setup
from pipelines.stages.analysis import absent_tables
from pipelines.versions import STAGES


def run_info(experiment: ExperimentConfig, tasks: Sequence[Task], remarks: Sequence[str], command: str) -> RunInfo:
    """What identifies the run in every log and table.

    Args:
        tasks: the evaluation's, in the order in which they are played. remarks: the benchmark's, on its results. command: what
            makes the run again.
    """
    return RunInfo(
        cell=experiment.cell,
        seed=experiment.seed,
        fingerprint=run_fingerprint(experiment),
        panel_sha256=setup.panel_hash(tasks),
        panel_size=len(tasks),
        stand_in=experiment.model.weights == "stand_in",
        config=experiment.values(),
        commit=(commit := code_commit()),
        versions=run_versions(experiment),
        measures=experiment.benchmark.measures,
        averages=experiment.data.averages,
        remarks=list(remarks),
        absent=absent_tables(AnalysisView.of(experiment)),
        columns=(*AdvantageView.of(experiment).columns, FINAL_COLUMN),
        command=command,
        committed="" if commit == "unknown" else commit_date(commit),
        stages=dict(STAGES),
    )


def machines_of(artifacts: Iterable[Artifact]) -> list[dict[str, str]]:
    """The kinds of machine that made these, each once, by first appearance; an empty one where an artifact does not say."""
    kinds: list[dict[str, str]] = []
    for artifact in artifacts:
        if artifact.machine not in kinds:
            kinds.append(dict(artifact.machine))
    return kinds


def write_results(
    folder: Path,
    info: RunInfo,
    artifacts: Mapping[tuple[str, int], Artifact],
    analysis: Artifact | None = None,
) -> Path:
    """Write ``results/{evaluations,metrics}.parquet``, the tables of the analysis, ``results/run.json`` and their checksums:
    all of it or nothing. No times, no paths. ``artifacts``: by stage and iteration, in the order in which they were made."""
    results = folder / "results"
    with replaced_folder(results) as draft:
        write_parquet(draft / RUN_EVALUATIONS.file, _evaluations(artifacts))
        write_parquet(draft / RUN_METRICS.file, _metrics(artifacts))
        if analysis is not None:
            for name in analysis.files:
                shutil.copyfile(analysis.path(name), draft / name)
        write_json(draft / RUN_JSON, info.values())
        write_checksums(draft)
        for path in draft.iterdir():
            flush(path)
    flush(folder)
    return results


def _evaluations(artifacts: Mapping[tuple[str, int], Artifact]) -> pa.Table:
    tables = []
    for (stage, iteration), artifact in artifacts.items():
        if stage == "evaluate":
            table = pq.read_table(artifact.path(RUN_EVALUATIONS.file))
            column = pa.array([iteration] * table.num_rows, pa.int32())
            tables.append(table.add_column(0, pa.field("iteration", pa.int32()), column))
    return pa.concat_tables(tables)


def _metrics(artifacts: Mapping[tuple[str, int], Artifact]) -> pa.Table:
    """One row per iteration (the number of updates made so far), one column per metric, null where not measured."""
    rows: dict[int, dict[str, float]] = {}
    for (stage, iteration), artifact in artifacts.items():
        at = iteration if stage == "evaluate" else iteration + 1
        rows.setdefault(at, {}).update(read_json(artifact.path(METRICS_JSON)))
    names = sorted({name for row in rows.values() for name in row})
    table = RUN_METRICS.extended(dict.fromkeys(names, "float64"))
    return table.of({"iteration": at, **rows[at]} for at in sorted(rows))
