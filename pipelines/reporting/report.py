"""Write the tables of a study from its results, and collect the results of a study in one folder."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from pipelines.files import replaced_folder
from pipelines.reporting import cells
from pipelines.reporting.deviations import read_settings
from pipelines.reporting.printing import differences_csv, document_of, numbers_csv
from pipelines.reporting.rendering import latex, markdown
from pipelines.reporting.results import read_study
from pipelines.reporting.specification import specifications
from pipelines.reporting.tables import StudyTable, make_table


def write_table(name: str, runs: Path, settings: Path, out: Path) -> StudyTable:
    """One of ``paper/tables.yaml``, or "cells" for every cell that was run, as ``<name>.md``, ``.tex``, ``.csv`` and
    ``<name>_differences.csv``; the same results give the same bytes. Raises DataError naming a bad file."""
    study = read_study(runs)
    specification = cells.specification_of(study) if name == cells.NAME else specifications()[name]
    table = make_table(specification, study, read_settings(settings))
    document = document_of(table)
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.md").write_text(markdown(document), "utf-8")
    (out / f"{name}.tex").write_text(latex(document, name), "utf-8")
    (out / f"{name}.csv").write_text(numbers_csv(table), "utf-8")
    (out / f"{name}_differences.csv").write_text(differences_csv(table), "utf-8")
    return table


def collect(runs: Sequence[Path], study: Path) -> None:
    """Copy the ``results`` of finished runs to ``<study>/<cell>/<seed>``, beside those of other runs that are there. The study's
    tables depend on that folder alone, and not on runs that come and go."""
    for run in runs:
        with replaced_folder(study / run.parent.name / run.name) as draft:
            for file in sorted((run / "results").iterdir()):
                shutil.copyfile(file, draft / file.name)
