"""Whether credit predicts learning: cells and correlations by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.credit.report.learning import PREDICTORS, Cell, cells_of, correlations, without_one
from pipelines.credit.report.results import read_study
from pipelines.credit.report.write import write_report
from pipelines.errors import DataError
from tests.credit.test_report import write_scoring
from tests.reporting.results import write_results


def run(
    method: str,
    before: list[int],
    after: list[int],
    rollouts: list[float],
    benchmark: str = "alfworld",
    seed: int = 0,
    **more: Any,
) -> Any:
    """``more``: other values of its configuration."""
    estimator, arm = method.split("-")
    games = [*((0, won) for won in before), *((4, won) for won in after)]
    values = {"scale": "laptop", "seed": seed, "algorithm": {"estimator": {"name": estimator}}, "empg": {"arm": arm}}
    return SimpleNamespace(
        folder=Path(f"{benchmark}-{method}-{'-'.join(map(str, more.values()))}", f"seed{seed}"),
        seed=seed,
        info=SimpleNamespace(benchmark=benchmark),
        config=values | more,
        stages={},
        evaluations=pd.DataFrame(games, columns=["iteration", "success"]),
        metrics=pd.DataFrame({"iteration": range(1, 1 + len(rollouts)), "rollout/success": rollouts}),
        last=4,
    )


def test_a_cell_is_the_mean_of_its_seeds(tmp_path: Path) -> None:
    """Gains 1/2 and 0, mean 1/4; the last two of four rollouts .4 and .6, and 1: mean (.5 + 1)/2. Scores of write_scoring: .3, and
    the unexplained turned round. A method that was not scored, or on another benchmark, is left out."""
    write_scoring(tmp_path / "scores", tmp_path / "run")
    runs = [
        run("gigpo-off", [0, 0], [1, 0], [0, 0, 0.4, 0.6]),
        run("gigpo-off", [1, 0], [0, 1], [0, 1], seed=1),
        run("hgpo-off", [0], [1], [0]),
        run("grpo-off", [0], [1], [0], benchmark="webshop"),
    ]
    (cell,) = cells_of(read_study(tmp_path / "scores"), runs)
    assert (cell.benchmark, cell.method, cell.seeds) == ("alfworld", "gigpo-off", 2)
    assert (cell.gain, cell.rollouts) == (pytest.approx(0.25), pytest.approx(0.75))
    assert cell.scores["rank_corrected"] == 0.3
    assert cell.scores["unexplained"] == -0.3
    assert np.isnan(cell.scores["gradient"])
    with pytest.raises(DataError):
        cells_of(read_study(tmp_path / "scores"), runs[2:])


@pytest.mark.parametrize(
    "more",
    [{}, {"seed": 1, "credit": {"state": "history"}}, {"seed": 1, "model": {"name": "another"}},
     {"seed": 1, "algorithm": {"name": "dapo", "estimator": {"name": "gigpo"}}}],
)  # fmt: skip
def test_runs_that_are_no_seeds_of_one_cell_are_not_averaged(tmp_path: Path, more: dict[str, Any]) -> None:
    """The first: the same seed twice."""
    write_scoring(tmp_path / "scores", tmp_path / "run")
    runs = [run("gigpo-off", [0], [1], [0]), run("gigpo-off", [0], [1], [0], **more)]
    with pytest.raises(DataError, match=r"alfworld-gigpo-off.* and alfworld-gigpo-off.*gigpo-off on alfworld"):
        cells_of(read_study(tmp_path / "scores"), runs)


def test_two_scales_are_not_compared(tmp_path: Path) -> None:
    write_scoring(tmp_path / "scores", tmp_path / "run")
    with pytest.raises(DataError, match="paper"):
        cells_of(
            read_study(tmp_path / "scores"),
            [run("gigpo-off", [0], [1], [0]), run("grpo-off", [0], [1], [0], scale="paper")],
        )


def test_a_benchmark_is_scored_once(tmp_path: Path) -> None:
    """Else a method would be two points; scores that nothing was trained of say nothing here."""
    for name in ("one", "two"):
        write_scoring(tmp_path / "scores" / name, tmp_path / name)
    study = read_study(tmp_path / "scores")
    with pytest.raises(DataError, match=r"alfworld.*both scored"):
        cells_of(study, [run("gigpo-off", [0], [1], [0])])
    with pytest.raises(DataError, match="no method was both"):
        cells_of(study, [run("hgpo-off", [0], [1], [0])])


def cells(benchmark: str, gains: list[float], scores: list[float]) -> list[Cell]:
    return [
        Cell(benchmark, f"m{i}", 1, gain, 0.5, {**dict.fromkeys(PREDICTORS, float("nan")), "sign": score})
        for i, (gain, score) in enumerate(zip(gains, scores, strict=True))
    ]


def test_correlations_by_hand() -> None:
    """Ranks 1 2 3 4 against 1 2 4 3: d² = 2, ρ = 1 − 6·2/(4·15) = .8. Turned round: −.8. Their mean: 0. Equal outcomes rank nothing."""
    of_two = cells("a", [1, 2, 3, 4], [1, 2, 4, 3]) + cells("b", [1, 2, 3, 4], [4, 3, 1, 2])
    found = {(c.benchmark, c.score, c.outcome): c for c in correlations(of_two)}
    assert found["a", "sign", "gain"].value == pytest.approx(0.8)
    assert found["b", "sign", "gain"].value == pytest.approx(-0.8)
    assert found["all", "sign", "gain"].value == pytest.approx(0)
    assert found["a", "sign", "gain"].low < 0.8 < found["a", "sign", "gain"].high
    assert np.isnan(found["a", "sign", "rollouts"].value)
    assert np.isnan(found["a", "gradient", "gain"].value)
    assert found["a", "gradient", "gain"].methods == 0


def test_the_mean_is_of_all_benchmarks_or_of_none() -> None:
    """Of "b" the gains are all alike: the mean would be that of "a" alone."""
    found = correlations(cells("a", [1, 2, 3, 4], [1, 2, 4, 3]) + cells("b", [1, 1, 1, 1], [4, 3, 1, 2]))
    (mean,) = [c for c in found if (c.benchmark, c.score, c.outcome) == ("all", "sign", "gain")]
    assert np.isnan([mean.value, mean.low, mean.high]).all()


def test_without_one_estimator() -> None:
    """Five points whose ranks are 1 2 3 4 5 and 1 2 3 5 4, the last two of one estimator: without it 1 2 3 twice is too few to rank;
    without another's, 1 2 3 4 against 1 2 4 3: .8."""
    five = cells("a", [1, 2, 3, 4, 5], [1, 2, 3, 5, 4])
    named = [
        replace(cell, method=name)
        for cell, name in zip(five, ["a-off", "b-off", "c-off", "d-off", "d-full"], strict=True)
    ]
    found = without_one(named, "sign", "gain")
    assert found["a"] == pytest.approx(0.8)
    assert np.isnan(found["d"])


def test_a_report_holds_the_tournament_against_the_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.credit.report.learning.RESAMPLES", 20)
    write_scoring(tmp_path / "scores" / "alfworld", tmp_path / "run")
    for arm in ("off", "full"):
        write_results(tmp_path / "tournament", "gigpo", arm, 0, {0: [0, 0], 2: [1, 0]})
    made = []
    for out in (tmp_path / "one" / "credit", tmp_path / "two" / "credit"):
        write_report(tmp_path / "scores", out, tmp_path / "tournament")
        made.append({str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()})
    assert made[0] == made[1]
    assert {"tables/learning.csv", "tables/learning.md", "tables/learning.tex", "figures/learning.svg"} <= made[
        0
    ].keys()
    rows = made[0]["tables/learning.csv"].decode().splitlines()
    assert rows[1].startswith("alfworld,gigpo-off,1,0.5,")
    assert "Does credit predict learning?" in made[0]["report.html"].decode()
