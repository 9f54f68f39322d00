"""Write the tables of a study from its results, and collect the results of a study in one folder."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from pipelines.files import replaced_folder
from pipelines.reporting import study_printing
from pipelines.reporting.cells import read_study
from pipelines.reporting.deviations import HEADER, TITLE, declared, read_settings
from pipelines.reporting.printing import markdown, to_csv
from pipelines.reporting.results import by_cell, find_results, read_runs
from pipelines.reporting.study_csv import differences_csv, numbers_csv
from pipelines.reporting.study_tables import StudyTable, make_study_table
from pipelines.reporting.tables import Table, make_table


def write_tables(runs: Path, settings: Path, out: Path) -> Table:
    """``table.md``, with the deviations from the paper's ``settings``, and ``table.csv``; the same results give the same
    bytes. Raises DataError naming a bad file."""
    found = read_runs(find_results(runs))
    table = make_table(found)
    rows = [
        (f"{run.info.algorithm} {run.info.arm}", run.info.algorithm, run.config) for run, *_ in by_cell(found).values()
    ]
    lines = [[d.setting, d.here, d.paper, where] for d, where in declared(rows, read_settings(settings)).items()]
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.md").write_text(markdown(table, (TITLE, (list(HEADER), lines))))
    (out / "table.csv").write_text(to_csv(table))
    return table


def write_study_table(name: str, runs: Path, settings: Path, out: Path) -> StudyTable:
    """One of ``paper/tables.yaml`` as ``<name>.md``, ``.tex``, ``.csv`` and ``<name>_differences.csv``; the same results
    give the same bytes. Raises DataError naming a bad file."""
    table = make_study_table(name, read_study(runs), read_settings(settings))
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.md").write_text(study_printing.markdown(table))
    (out / f"{name}.tex").write_text(study_printing.latex(table))
    (out / f"{name}.csv").write_text(numbers_csv(table))
    (out / f"{name}_differences.csv").write_text(differences_csv(table))
    return table


def collect(runs: Sequence[Path], study: Path) -> None:
    """Copy finished runs' ``results`` into ``results/<study>/<cell>/<seed>``, beside those of other runs that are there: the
    study's tables depend on that folder alone, and not on runs that come and go."""
    for run in runs:
        with replaced_folder(study / run.parent.name / run.name) as draft:
            for file in sorted((run / "results").iterdir()):
                shutil.copyfile(file, draft / file.name)
