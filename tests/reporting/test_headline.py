"""The line for each cell that a launch ends with, on the study whose numbers stand by hand in ``test_cells``."""

from __future__ import annotations

import json
from pathlib import Path

from pipelines.reporting.headline import Cell, headline
from pipelines.reporting.results import RunResult, read_study
from pipelines.reporting.summary import write_summary
from tests.reporting.results import write_results, write_study


def cells(runs: list[RunResult], asked: int = 2) -> list[Cell]:
    names = dict.fromkeys(run.info.cell for run in runs)
    return [Cell(name[19:], [run for run in runs if run.info.cell == name], asked) for name in names]


def rows(root: Path) -> dict[str, tuple[str, ...]]:
    (table,) = headline(cells(read_study(root))).tables
    return {row[0]: row[1:] for row in table.rows}


def test_start_end_and_difference_by_hand(tmp_path: Path) -> None:
    write_study(tmp_path)
    shown = rows(tmp_path)
    assert shown["grpo-off"] == ("2", "25.0 → 50.0", "0.0 – 100.0", "–", "–", "–")
    assert shown["grpo-full"] == ("2", "25.0 → 87.5", "47.7 – 100.0", "+37.5", "-38.7 – +100.0", "noise")
    assert shown["dapo-off"][0] == "1 of 2"
    assert shown["dapo-full"][3:] == ("+0.0", "+0.0 – +0.0", "noise")


def test_what_cannot_be_compared_has_no_difference(tmp_path: Path) -> None:
    """Other settings than EMPG differ; and a run that was not trained has no start."""
    write_results(tmp_path, "grpo", "off", 0, {0: [1, 0], 2: [1, 1]})
    write_results(tmp_path, "grpo", "full", 0, {0: [1, 0], 2: [1, 1]}, training={"iterations": 3})
    write_results(tmp_path, "react", "off", 0, {0: [1, 0]})
    shown = rows(tmp_path)
    assert shown["grpo-full"][3:] == ()  # nobody has one: no columns for it
    assert shown["react-off"][1] == "50.0"


def test_one_game_has_no_interval(tmp_path: Path) -> None:
    """Nothing says how it varies: neither a terminal nor DVC's metrics have a number for that."""
    for arm, won in (("off", 0), ("full", 1)):
        write_results(tmp_path / "runs", "grpo", arm, 0, {0: [0], 2: [won]})
    assert rows(tmp_path / "runs")["grpo-full"] == ("1 of 2", "0.0 → 100.0", "–", "+100.0", "–", "noise")
    write_summary(tmp_path / "runs", tmp_path / "out")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    (full,) = (numbers for cell, numbers in metrics.items() if "full" in cell)
    assert full == {"seeds": 1, "start": 0.0, "end": 100.0, "to_off": 100.0}
