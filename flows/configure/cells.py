"""The cells of the paper's study: ``conf/experiment/<table>/<cell>.yaml``, chosen with ``+experiment=<table>/<cell>``.

A cell's file holds what makes it that cell; what it is at a scale stands in the scale's file. Which table it stands in is no part of
what a run is: cells of two tables that are the same experiment are the same run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

CONF = Path(__file__).resolve().parents[2] / "conf"
CHOICE = "+experiment="


def cells() -> list[str]:
    """Every cell, e.g. ``table1/alfworld_1.5b_grpo_full``."""
    root = CONF / "experiment"
    return sorted(path.relative_to(root).as_posix().removesuffix(".yaml") for path in root.rglob("*.yaml"))


def cell_of(overrides: Sequence[str]) -> str | None:
    """The cell that a job chose."""
    return next((o.removeprefix(CHOICE) for o in reversed(overrides) if o.startswith(CHOICE)), None)
