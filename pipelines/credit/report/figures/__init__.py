"""The figures of a study of credit, one module each: ``draw(study) → Figure`` with its title and caption, like those of runs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from pipelines.credit.report.results import CreditResult

FIGURES = ("group_sizes", "calibration", "positions")
"""The modules, in the report's order."""


def write_figures(study: Sequence[CreditResult], out: Path) -> None:
    """Each as .png and .svg; the same results give the same bytes."""
    out.mkdir(parents=True, exist_ok=True)
    for name in FIGURES:
        import_module(f"{__name__}.{name}").draw(study).save(out / name)
