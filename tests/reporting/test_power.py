"""What studies of other sizes could tell: components by hand and from games that were drawn with known ones, designs, their power."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flows.power import hours_of, main
from pipelines.reporting.power import (
    Component,
    Components,
    Design,
    Paired,
    components_of,
    detectable,
    power,
    rejected,
    seeds_needed,
)
from pipelines.reporting.power_page import at_worst
from pipelines.reporting.results import read_run
from pipelines.reporting.statistics import Matrix
from tests.reporting.results import write_results, write_study
from tests.reporting.study import write_cell


def paired(values: Matrix, starts: list[int] | None = None, samples: int = 1) -> Paired:
    return Paired(values, np.zeros_like(values), starts or [0] * len(values), samples)


def known(variance: float) -> Component:
    return Component(variance, 0.0, 2 * variance, 9)


def parts(start: float = 0.0, seed: float = 0.0, task: float = 0.0, dice: float = 0.3) -> Components:
    return Components(known(start), known(seed), known(task), dice, 0.6)


def test_components_by_hand() -> None:
    """Seeds' means 1, 0, −1 and tasks' 1, −1, and nothing else: variances 1 and 2, of 2 and 1 degrees of freedom. Of one warm start
    nothing is known."""
    found = components_of([paired(np.array([[2.0, 0], [1, -1], [0, -2]]))])
    assert (found.seed.variance, found.seed.df) == (pytest.approx(1), 2)
    assert (found.task.variance, found.task.df) == (pytest.approx(2), 1)
    assert (found.dice, found.start.df) == (pytest.approx(0), 0)
    # χ² with 2 degrees of freedom: 2·1/7.378 and 2·1/.05064.
    assert (found.seed.low, found.seed.high) == (pytest.approx(0.2711, abs=1e-4), pytest.approx(39.50, abs=0.01))


def test_games_alone_are_dice_and_nothing_else() -> None:
    """Residual sum of squares 4 with one degree of freedom, of means of three games each: a game's variance is 12."""
    found = components_of([paired(np.array([[1.0, -1], [-1, 1]]), samples=3)])
    assert (found.seed.variance, found.task.variance, found.dice) == (0, 0, pytest.approx(12))


def test_seeds_within_warm_starts_by_hand() -> None:
    """Warm starts' means 3 and −3 of two seeds each, which differ by ±1 within: mean squares (two tasks) 2·2·18 = 72 and 2·2 = 4.
    Seeds 4/2 = 2, warm starts (72 − 4)/(2·2) = 17."""
    column = np.array([[4.0], [2], [-2], [-4]])
    found = components_of([paired(np.hstack([column, column]), [5, 5, 6, 6])])
    assert (found.start.variance, found.start.df) == (pytest.approx(17), 1)
    assert (found.seed.variance, found.seed.df) == (pytest.approx(2), 2)


def test_known_components_are_found() -> None:
    """Normal games; 40 pairs of arms of 5 warm starts × 2 seeds on 60 tasks: 160, 200 and 2,360 degrees of freedom, √(2/df) each."""
    rng, found = np.random.default_rng(0), []
    for _ in range(40):
        starts = np.repeat(np.arange(5), 2)
        runs = rng.normal(0, 0.3, 5)[starts] + rng.normal(0, 0.2, 10)
        values = runs[:, None] + rng.normal(0, 0.4, 60) + rng.normal(0, 1, (10, 60))
        found.append(paired(values, starts.tolist()))
    of = components_of(found)
    assert of.start.variance == pytest.approx(0.09, rel=0.5)
    assert of.seed.variance == pytest.approx(0.04, rel=0.5)
    assert of.task.variance == pytest.approx(0.16, rel=0.15)
    assert of.dice == pytest.approx(1, rel=0.05)
    assert (of.start.df, of.seed.df, of.task.df) == (160, 200, 2360)


def test_power_of_many_seeds_and_tasks_is_that_of_a_known_error() -> None:
    """400 pairs on 1,000 tasks: the error is √(seeds/400 + tasks/1,000 + dice/(400·1,000·3)), with so many degrees of freedom that 80 %
    need 1.96 + .84 of it, and at 12 comparisons 2.87 + .84. Without a difference 5 % are told from 0."""
    of, design = parts(seed=0.04, task=0.2, dice=2.4), Design(1, 400, 1000, 3)
    error = (0.04 / 400 + 0.2 / 1000 + 2.4 / 400 / 1000 / 3) ** 0.5
    assert power(of, design, 2.802 * error) == pytest.approx(0.8, abs=0.01)
    assert power(of, design, 0) == pytest.approx(0.05, abs=0.005)
    assert detectable(of, design, 12) == pytest.approx((2.865 + 0.842) * error, rel=0.02)
    assert power(replace(of, start=known(0.01)), Design(200, 2, 1000, 3), 2.802 * (error**2 + 0.01 / 200) ** 0.5) == (
        pytest.approx(0.8, abs=0.015)
    )


def test_a_component_that_is_not_there_costs_power_all_the_same() -> None:
    """Half of the studies find seeds or tasks to vary by more than games do, and are less certain than they could be."""
    of, design = parts(dice=0.3), Design(1, 3, 128)
    assert power(of, design, 2.802 * (0.3 / 3 / 128) ** 0.5) < 0.75
    assert power(of, design, 0) < 0.045


def test_where_nothing_varies_any_difference_is_told() -> None:
    """As in runs that solved no task at all."""
    assert detectable(parts(dice=0.0), Design(2, 2, 6)) == 0.0


def test_the_fewest_seeds_that_tell_a_difference() -> None:
    of, design = parts(seed=0.001, task=0.005), Design(1, 3, 512)
    found = seeds_needed(of, design, 0.05)
    assert found is not None
    assert power(of, found, 0.05) >= 0.8 > power(of, replace(found, seeds=found.seeds - 1), 0.05)
    of_starts = seeds_needed(replace(of, start=known(0.001)), Design(2, 2, 512), 0.05)
    assert of_starts is not None
    assert (of_starts.seeds, of_starts.starts > found.seeds // 2) == (2, True)
    corrected, worst = seeds_needed(of, design, 0.05, 12), seeds_needed(at_worst(of), design, 0.05)
    assert corrected is not None
    assert worst is not None
    assert min(corrected.seeds, worst.seeds) > found.seeds
    assert seeds_needed(parts(task=0.2), Design(1, 3, 128), 0.03) is None, "tasks vary by 4 points, whatever the seeds"


@pytest.mark.parametrize("start", [0.0, 0.0015])
def test_simulated_studies_reject_as_often_as_planned(start: float) -> None:
    """5 % without a difference and 80 % with it; 4 standard deviations of counting 200 are 6 and 11 %."""
    of = parts(start, seed=0.0005, task=0.003)
    design = seeds_needed(of, Design(2, 2, 128) if start else Design(1, 3, 128), 0.08)
    assert design is not None
    assert rejected(of, design, 0.0, 200) <= 0.05 + 0.062
    assert 0.8 - 0.113 <= rejected(of, design, 0.08, 200) <= 0.8 + 0.113


def test_core_hours_are_what_a_launch_reckons(tmp_path: Path) -> None:
    """Two arms of a run each, its warm start once; more games cost more."""
    cell = "benchmark=alfworld model=qwen2.5_1.5b algorithm=grpo empg=off scale=laptop"
    (folder,) = write_cell(tmp_path / "grid", cell, [[1, 0, 1, 0]])
    hours = hours_of(read_run(folder))
    one, two = hours(Design(1, 1, 128)), hours(Design(1, 2, 128))
    assert 0.01 < two - one < 0.5
    assert hours(Design(2, 1, 128)) - two == pytest.approx(one - (two - one)), "a warm start"
    assert hours(Design(1, 1, 256)) == hours(Design(1, 1, 128, 2)) > one


def test_the_page_of_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """GRPO's arms share two seeds, DAPO's one, which says nothing of seeds."""
    write_study(tmp_path)
    assert main([str(tmp_path), "comparisons=2", "simulate=3"]) == 0
    said = capsys.readouterr().out
    assert "1 differences to EMPG off, of 2 pairs of runs on 4 tasks" in said
    assert "not known" in said
    assert "first of 2" in said
    assert "Simulated: 3 studies" in said


@pytest.mark.parametrize(
    ("arguments", "code", "offending", "remedy"),
    [
        ([], 2, "no folder", "flows.power results/grid"),
        (["nowhere"], 2, "nowhere", "flows.power results/grid"),
        ([".", "seeds=3"], 2, "seeds=3", "comparisons="),
        ([".", "comparisons=0"], 2, "comparisons=0", "at least 1"),
        ([".", "simulate=many"], 2, "simulate=many", "whole number"),
        (["."], 1, "no finished run", "launch one"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    arguments: list[str], code: int, offending: str, remedy: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    said = capsys.readouterr().err
    assert offending in said
    assert remedy in said
    assert said.count("\n") == 1


def test_runs_without_a_pair_say_what_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_results(tmp_path, "grpo", "off", 0, {0: [1, 0], 2: [1, 1]})
    assert main([str(tmp_path)]) == 1
    assert "empg=off,full seed=0,1,2" in capsys.readouterr().err
