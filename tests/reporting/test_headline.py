"""The line for each cell that a launch ends with, on the study whose numbers stand by hand in ``test_cells``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.reporting.headline import Cell, headline, lines_of
from pipelines.reporting.page.conclusion import conclusion_of
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
    write_results(tmp_path, "dapo", "off", 0, {0: [1, 0], 2: [1, 1]})
    write_results(tmp_path, "dapo", "full", 0, {0: [1, 0, 1], 2: [1, 1, 1]}, panel="q" * 64)  # of another folder's data
    shown = rows(tmp_path)
    assert shown["grpo-full"][3:] == shown["dapo-full"][3:] == ()  # nobody has one: no columns for it
    assert shown["react-off"][1] == "50.0"


def test_runs_of_other_code_are_no_baseline_and_other_machines_are_named(tmp_path: Path) -> None:
    for algorithm, arm, said in (
        ("grpo", "off", {"stages": {"rollout": 7}}),
        ("grpo", "full", {"stages": {"rollout": 8}, "machines": [{"cpu": "Zen", "torch": "AVX2"}]}),
        ("dapo", "off", {"machines": [{"cpu": "Lake", "torch": "AVX2"}]}),
        ("dapo", "full", {"machines": [{"cpu": "Zen", "torch": "AVX2"}]}),
    ):
        write_results(tmp_path, algorithm, arm, 0, {0: [1, 0], 2: [1, 1]}, said=said)
    shown = rows(tmp_path)
    assert (shown["grpo-full"][3], shown["dapo-full"][3]) == ("–", "+0.0")
    (note,) = headline(cells(read_study(tmp_path))).notes
    assert all(text in note for text in ("3 kinds of machine", "cpu Zen, torch AVX2: 2", "not recorded: 1", "cpu Lake"))


def test_runs_are_paired_within_their_warm_start(tmp_path: Path) -> None:
    """Off's seed 0 of warm start 1 has no partner."""
    for arm, start, last in (("off", 0, [1, 0]), ("off", 1, [0, 0]), ("full", 0, [1, 1])):
        how = {"warm_start": {"tokens": 9, "seed": start}}
        write_results(tmp_path / str(start), "grpo", arm, 0, {0: [0, 0], 2: last}, **how)
    shown = rows(tmp_path)
    assert shown["grpo-off"][0] == "2 (2 warm starts)"
    assert shown["grpo-full"][3] == "+50.0"


def test_one_game_has_no_interval(tmp_path: Path) -> None:
    """Nothing says how it varies: neither a terminal nor DVC's metrics have a number for that."""
    for arm, won in (("off", 0), ("full", 1)):
        write_results(tmp_path / "runs", "grpo", arm, 0, {0: [0], 2: [won]})
    assert rows(tmp_path / "runs")["grpo-full"] == ("1 of 2", "0.0 → 100.0", "–", "+100.0", "–", "noise")
    write_summary(tmp_path / "runs", tmp_path / "out")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    (full,) = (numbers for cell, numbers in metrics.items() if "full" in cell)
    assert full == {"seeds": 1, "start": 0.0, "end": 100.0, "to_off": 100.0}


def test_training_raised_success_where_the_games_tell_so(tmp_path: Path) -> None:
    """Three seeds that solve 1 of 8 before, and 7 after; and three that solve 4 before, and 5, 4 and 4 after: higher by 1/24, by
    the one game that can as well be chance. And the same settings on another panel are another cell."""
    start, little = [1, 0, 0, 0, 0, 0, 0, 0], [1, 0] * 4
    for seed in range(3):
        write_results(tmp_path / "much", "grpo", "off", seed, {0: start, 2: [1] * 7 + [0]})
        more = [1, 1, *little[2:]] if seed == 0 else little
        write_results(tmp_path / "little", "dapo", "off", seed, {0: little, 2: more})
    much, little_ = read_study(tmp_path / "much"), read_study(tmp_path / "little")
    assert conclusion_of(much)[0] == "Training raised success in the one trained cell: ALFWorld from 12.5 to 87.5 %."
    assert conclusion_of(little_)[0].endswith("ALFWorld from 50.0 to 54.2 %. Of the gains of 1 trained cell: 1 noise.")
    assert conclusion_of(much + little_)[0].endswith("Of the gains of 2 trained cells: 1 higher, 1 noise.")
    (gain,) = [line.gain for line in lines_of(cells(little_))]
    assert gain.mean == pytest.approx(1 / 24)
    write_results(tmp_path / "moved", "grpo", "off", 0, {0: start[:2], 2: [1, 1]}, panel="q" * 64)
    assert "2 trained cells" in conclusion_of(much + read_study(tmp_path / "moved"))[0]
