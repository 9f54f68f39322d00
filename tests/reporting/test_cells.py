"""The table of every cell that was run, from studies made by hand, and the command that writes tables."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipelines.errors import DataError
from pipelines.reporting.__main__ import main
from pipelines.reporting.cells import specification_of
from pipelines.reporting.figures import write_figure
from pipelines.reporting.printing import differences_csv, document_of, numbers_csv, summary_of, title_of
from pipelines.reporting.rendering import show
from pipelines.reporting.report import collect, write_table
from pipelines.reporting.results import read_study
from pipelines.reporting.specification import Row
from pipelines.reporting.statistics import Difference, Error
from pipelines.reporting.tables import Contrast, StudyTable, make_table
from tests.reporting.results import edit_table, write_results, write_study
from tests.reporting.study import write_settings

REPOSITORY = Path(__file__).parents[2]


def table_of(root: Path) -> StudyTable:
    runs = read_study(root)
    return make_table(specification_of(runs), runs)


def printed(table: StudyTable, title: str) -> dict[tuple[str, ...], dict[str, str]]:
    """The printed table whose title begins so: label → column → cell."""
    (found,) = (part for part in document_of(table).tables if part.title.startswith(title))
    rows = {row[: found.words]: dict(zip(found.names, row, strict=True)) for row in found.rows}
    return {label: dict(list(row.items())[found.words :]) for label, row in rows.items()}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("study")
    write_study(root)
    return root


# Intervals by the crossed model of statistics.py: the variance of the overall mean is s + t − g, of the means of seeds (their
# variance / S), of tasks (/ T) and what single games leave (their mean square / ST); where s or t is not above g, it counts as g.
# Degrees of freedom (s + t − g)² / (s²/(S − 1) + t²/(T − 1) + g²/((S − 1)(T − 1))), of the terms that count. Shares end at 0 and 100.
#   One game of N unlike the others: every mean square is 1/N, so s = t = g = 1/N², and (S − 1)(T − 1) degrees of freedom.
#   grpo off, seeds 1000 and 1110. Seeds' means ¼, ¾: s = (1/8)/2 = 3/48. Tasks' 1, ½, ½, 0: t = (1/6)/4 = 2/48. Squares about ½:
#     2 in all, ½ of seeds, 1 of tasks, ½ left: g = (½/3)/8 = 1/48. Variance 4/48, df 16/(9 + 4/3 + 1/3) = 1.5: ± 6.0·.29, 0 to 100.
#   grpo full, 1110 and 1111: one of eight, 1/8 with 3 df: 87.5 ± 3.182/8 = 39.8 → 47.7.
#   dapo off, one seed, 1100: of tasks alone, (1/3)/4 with 3 df: 50 ± 3.182·.289 = 92 → 0 to 100; no standard deviation.
#   dapo full, 1100 and 0000. s = (1/8)/2 = 3/48; tasks ½, ½, 0, 0: t = (1/12)/4 = 1/48; squares about ¼: 1.5 in all, ½ of seeds,
#     ½ of tasks, ½ left: g = 1/48, no less than t. Variance 3/48 with 1 df: ± 12.7/4, 0 to 100.
#   Difference of grpo, full − off: 0110 and 0001, mean 3/8. Seeds ½, ¼: s = (1/32)/2 = 1/64. Tasks 0, ½, ½, ½: t = (1/16)/4 = 1/64.
#     In 64ths squares about 3/8 are 120 in all, 8 of seeds, 24 of tasks, 88 left: g = (88/64/3)/8 = 11/192, above both. So the
#     variance is g with 3 df: ± 3.182·.2394 = 76.2. p of t₃ = .375/.2394 = 1.567: .2152, times 2 by Holm .430. dapo's is 0 in every
#     game: p 1. Told in 80 %, at 5 %/2: noncentral t₃ beyond 4.177 is 5.432, times .2394 = 130 points, more than there are.


# By type, "pick" is tasks 0 and 2, "look" 1 and 3. Standard deviations: seeds ¼ and ¾, or ½ and 0: √(2·(¼)²/1) = .354;
# ¾ and 1: .177. grpo full's look, 10 and 11: one of four, ¼ with 1 df: ± 12.7/4. Everything starts at 1000: the panel at ¼.
MEANS = {
    ("GRPO", "off"): ["25.0 ± 0.0", "50.0 ± 35.4", "25.0 ± 35.4", "75.0 ± 35.4"],
    ("GRPO", "full"): ["25.0 ± 0.0", "87.5 ± 17.7", "75.0 ± 35.4", "100.0 ± 0.0"],
    ("DAPO", "off"): ["25.0", "50.0", "50.0", "50.0"],
    ("DAPO", "full"): ["25.0 ± 0.0", "25.0 ± 35.4", "25.0 ± 35.4", "25.0 ± 35.4"],
}


def test_the_table_by_hand(study: Path) -> None:
    table = table_of(study)
    means, intervals = printed(table, "Mean"), printed(table, "95 %")
    columns = ["before RL", "all", "look", "pick"]
    assert means == {label: dict(zip(columns, cells, strict=True)) for label, cells in MEANS.items()}
    assert list(means) == list(MEANS), "in the paper's order"
    assert {label: cells["all"] for label, cells in intervals.items()} == {
        ("GRPO", "off"): "0.0 – 100.0", ("GRPO", "full"): "47.7 – 100.0", ("DAPO", "off"): "0.0 – 100.0",
        ("DAPO", "full"): "0.0 – 100.0",
    }  # fmt: skip
    assert intervals["GRPO", "full"]["look"] == "0.0 – 100.0"
    (differences,) = (part for part in document_of(table).tables if part.title.startswith("Paired"))
    assert differences.rows == (
        ("GRPO", "full", "all", "2", "4", "+37.5", "-38.7 – +100.0", "0.430", "> 100", "noise"),
        ("DAPO", "full", "all", "1", "4", "+0.0", "+0.0 – +0.0", "1.000", "–", "noise"),
    )
    assert title_of(table).startswith("ALFWorld: tiny, test scale — stand-in")


def test_the_files_have_the_deviations_and_all_digits(study: Path, tmp_path: Path) -> None:
    """Deviations: here those of settings that the results, made by hand, do not even have."""
    write_table("cells", study, write_settings(tmp_path / "settings.json"), tmp_path / "out")
    assert "| training.iterations | 2 | 150 | alfworld |" in (tmp_path / "out" / "cells.md").read_text()
    numbers = pd.read_csv(tmp_path / "out" / "cells.csv")
    look = numbers[(numbers["method"] == "grpo") & (numbers["empg"] == "full") & (numbers["column"] == "all")].iloc[0]
    assert look[["mean", "sd", "low", "high", "seeds", "tasks"]].tolist() == pytest.approx(
        [87.5, 100 / 32**0.5, 87.5 - 100 * 3.182446 / 8, 100.0, 2, 4]
    )
    differences = pd.read_csv(tmp_path / "out" / "cells_differences.csv")
    grpo, dapo = (differences[differences["method"] == method].iloc[0] for method in ("grpo", "dapo"))
    assert grpo[["difference", "low", "high", "p", "p_holm", "detectable"]].tolist() == pytest.approx(
        [37.5, 37.5 - 100 * 3.182446 * (11 / 192) ** 0.5, 100, 0.21517, 0.43034, 100 * 5.43206 * (11 / 192) ** 0.5],
        rel=1e-3,
    )
    assert pd.isna(dapo["detectable"]), "nothing varies, so nothing is known of what could be seen"


def test_only_common_seeds_are_paired(study: Path) -> None:
    """GRPO: seed 0 gains 2 tasks of 4, seed 1 gains 1: mean 3/8. DAPO's off has seed 0 alone, where nothing differs."""
    grpo, dapo = table_of(study).contrasts
    assert (grpo.row.method, grpo.row.empg, grpo.difference.seeds) == ("grpo", "full", 2)
    assert grpo.difference.mean == pytest.approx(3 / 8)
    assert (dapo.difference.seeds, dapo.difference.mean, dapo.verdict) == (1, 0.0, "noise")


def test_one_game_has_no_interval(tmp_path: Path) -> None:
    """And no p below 1, nor a detectable difference: nothing says how it varies."""
    for arm, won in (("off", 0), ("full", 1)):
        write_results(tmp_path, "grpo", arm, 0, {0: [0], 2: [won]})
    table = table_of(tmp_path)
    assert printed(table, "95 %")["GRPO", "full"]["all"] == "–"
    (difference,) = next(part for part in document_of(table).tables if part.title.startswith("Paired")).rows
    assert difference[2:] == ("all", "1", "1", "+100.0", "–", "1.000", "–", "noise")
    assert "nan" not in numbers_csv(table) + differences_csv(table)


def test_without_a_common_seed_or_an_off_arm_nothing_is_compared(tmp_path: Path) -> None:
    write_results(tmp_path, "grpo", "off", 0, {0: [0, 0], 2: [0, 0]})
    write_results(tmp_path, "grpo", "full", 1, {0: [0, 0], 2: [1, 1]})
    write_results(tmp_path, "dapo", "full", 0, {0: [0, 0], 2: [1, 1]})
    table = table_of(tmp_path)
    assert table.contrasts == ()
    assert not any(part.title.startswith("Paired") for part in document_of(table).tables)


def test_every_arm_is_compared_with_off_in_the_papers_order(tmp_path: Path) -> None:
    """All differences are certain: ten games alike, p = 2/2¹⁰ each, so Holm makes all of them three times as large."""
    for arm, final in (("full", 1), ("off", 0), ("gradient_scaling", 1), ("future_bonus", 1)):
        for seed in range(5):
            write_results(tmp_path, "grpo", arm, seed, {0: [0, 0], 2: [final, final]})
    contrasts = table_of(tmp_path).contrasts
    assert [c.row.empg for c in contrasts] == ["gradient_scaling", "future_bonus", "full"]
    assert [c.verdict for c in contrasts] == ["higher"] * 3
    assert [c.corrected for c in contrasts] == pytest.approx([3 / 512] * 3)


def test_below_three_seeds_there_is_no_verdict_but_noise(tmp_path: Path) -> None:
    """Two certain differences, of 8 and of 12 games alike: p = 2/2⁸ and 2/2¹², which is the less, and twice that by Holm. Two
    seeds are too few to believe it, three are not."""
    for arm, final, seeds in (("off", 0, 3), ("full", 1, 3), ("future_bonus", 1, 2)):
        for seed in range(seeds):
            write_results(tmp_path, "grpo", arm, seed, {0: [0] * 4, 2: [final] * 4})
    few, enough = table_of(tmp_path).contrasts
    assert (few.row.empg, few.difference.seeds, few.verdict) == ("future_bonus", 2, "few seeds")
    assert (enough.row.empg, enough.difference.seeds, enough.verdict) == ("full", 3, "higher")
    assert (few.corrected, enough.corrected) == (pytest.approx(2**-7), pytest.approx(2 * 2**-11))


@pytest.mark.parametrize(
    ("mean", "corrected", "seeds", "verdict"),
    [
        (0.1, 0.0499, 3, "higher"),
        (-0.1, 0.0499, 3, "lower"),
        (0.1, 0.05, 3, "noise"),
        (-0.1, 1.0, 3, "noise"),
        (0.1, 0.0499, 2, "few seeds"),
        (0.1, 0.05, 2, "noise"),
        (0.09, 0.0499, 3, "noise"),  # its interval holds 0
    ],
)
def test_a_verdict_needs_the_corrected_p_the_interval_and_seeds(
    mean: float, corrected: float, seeds: int, verdict: str
) -> None:
    difference = Difference(mean, mean - 0.095, mean + 0.095, 0.001, seeds, 4, Error(0.04, 6.0))
    row: Any = Row(model="tiny", method="grpo", empg="full")
    assert Contrast(row, ("alfworld", None), difference, corrected, 0.2).verdict == verdict  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------- rows and columns that follow the runs


def test_models_benchmarks_and_strengths_have_rows_and_columns_of_their_own(tmp_path: Path) -> None:
    """What all rows share is no label; a benchmark's columns are named where there are several."""
    write_results(tmp_path / "a", "grpo", "full", 0, {0: [0], 2: [1]})
    write_results(tmp_path / "b", "grpo", "full", 0, {0: [0], 2: [0]}, empg={"zeta": 0.2, "k_future": 2.0})
    assert printed(table_of(tmp_path), "Mean") == {
        ("GRPO", "full", "0.05", "1.0"): {"before RL": "0.0", "all": "100.0"},
        ("GRPO", "full", "0.2", "2.0"): {"before RL": "0.0", "all": "0.0"},
    }
    header, *lines = (line.split(",") for line in numbers_csv(table_of(tmp_path)).splitlines())
    assert {tuple(line[header.index(name)] for name in ("zeta", "k", "k_future")) for line in lines} == {
        ("0.05", "1.0", "1.0"), ("0.2", "1.0", "2.0"),
    }  # fmt: skip
    write_results(tmp_path / "c", "grpo", "off", 0, {0: [0], 2: [1]}, benchmark={"name": "webshop"}, model="large")
    means = printed(table_of(tmp_path), "Mean")
    assert means["large", "GRPO", "off", "–", "–"] == {
        "ALFWorld success before RL": "–", "ALFWorld success all": "–", "WebShop success before RL": "0.0",
        "WebShop success all": "100.0",
    }  # fmt: skip


def test_a_run_that_was_not_trained_has_no_column_before_it(tmp_path: Path) -> None:
    write_results(tmp_path, "react", "off", 0, {0: [0, 1]}, training={"iterations": 0})
    assert printed(table_of(tmp_path), "Mean") == {("ReAct", "–"): {"all": "50.0", "look": "100.0", "pick": "0.0"}}


@pytest.mark.parametrize(
    ("arm", "seed", "other", "named"),
    [
        ("off", 1, {"panel": "q" * 64}, "q" * 12),
        ("full", 0, {"scale": "paper"}, "paper"),
        ("off", 1, {"training": {"learning_rate": 2.0}}, "other settings than the seed"),
        ("off", 0, {}, "and seed"),
    ],
)
def test_what_cannot_be_one_table_is_refused(
    tmp_path: Path, arm: str, seed: int, other: dict[str, Any], named: str
) -> None:
    one = write_results(tmp_path / "a", "grpo", "off", 0, {0: [0], 2: [1]})
    two = write_results(tmp_path / "b", "grpo", arm, seed, {0: [0], 2: [1]}, **other)
    with pytest.raises(DataError, match=named) as caught:
        table_of(tmp_path)
    assert str(one) in str(caught.value)
    assert str(two) in str(caught.value)


def test_runs_that_did_not_play_the_same_tasks_are_refused(study: Path, tmp_path: Path) -> None:
    shutil.copytree(study, tmp_path / "runs")
    file = tmp_path / "runs" / "test-alfworld-tiny-dapo-off" / "seed0" / "evaluations.parquet"
    edit_table(file, task_id=pd.read_parquet(file)["task_id"].str.replace("task0", "another"))
    with pytest.raises(DataError, match="another") as caught:
        table_of(tmp_path / "runs")
    assert str(file) in str(caught.value)


# ------------------------------------------------------------------------------------------- measures, averages and remarks

AVERAGES = {
    "in_domain": ["one_hop", "two_hop"], "out_of_domain": ["three_hop"], "overall": ["one_hop", "two_hop", "three_hop"],
}  # fmt: skip
QUESTIONS = {
    "measures": {"score": "F1", "success": "exact match"}, "averages": AVERAGES, "remarks": ["every judge was asleep"],
}  # fmt: skip
TYPES = ["one_hop", "one_hop", "two_hop", "three_hop"]
DEEPSEARCH = {"name": "deepsearch"}


def write_questions(root: Path) -> None:
    """Two one-hop questions, a two-hop one, a three-hop one; two arms of two seeds. All start at exact match 1000 and F1
    1 ½ 0 0. Off ends at 1010 with both seeds, full at 1110; F1 ends at 1110 and 1111 with either arm."""
    start = {"successes": [1, 0, 0, 0], "scores": [1, 0.5, 0, 0]}
    for arm, success in (("off", [1, 0, 1, 0]), ("full", [1, 1, 1, 0])):
        for seed, score in enumerate(([1, 1, 1, 0], [1, 1, 1, 1])):
            write_results(
                root, "grpo", arm, seed, {0: start["successes"], 2: success}, scores={0: start["scores"], 2: score},
                types=TYPES, said=QUESTIONS, benchmark=DEEPSEARCH,
            )  # fmt: skip


# Means. Panel: every question weighs the same; an average: every type.
#   Exact match, off 1010: panel ½; one-hop ½, two-hop 1, three-hop 0: ID ¾, OOD 0, overall ½ (by chance the panel's).
#   Full 1110: panel ¾; ID 1, OOD 0, overall ⅔. At the start 1000: panel ¼.
#   F1: panel ¾ and 1 (mean .875, sd .25/√2 = .177); ID 1; OOD 0 and 1 (½, sd 1/√2 = .707); overall ⅔ and 1 (.833, sd
#   (⅓)/√2 = .236). At the start: panel 1.5/4 = .375.
# Intervals, as above.
#   Panel, equal seeds, so s = g = 0: off 1010, t = (1/3)/4 with 3 df: ± 3.182·.289, 0 to 100. Full 1110, (¼)/4: 75 ± 79.6, 0 to 100.
#   F1: one game of eight is lost: 87.5 ± 39.8, as grpo full above.
#   Averages: a type of one task is given the variance of one hop, the only type of two. Off's is 1 and 0, ½ with 1 df: of ID
#   (½/2 + ½)/4, overall (½/2 + ½ + ½)/9, and 12.7 standard errors are more than 100. Full's is 0: points. F1's too, where seeds
#   are left: of OOD 0 and 1, ½ ± 12.7/2; overall ⅔ and 1, (1/18)/2 with 1 df: .833 ± 12.7/6, 0 to 100.
# Difference of exact match: 0100 with both seeds, t = (¼)/4 with 3 df: 25 ± 3.182/4 = 79.6, of t₃ = 1 p = .391, twice by Holm.
def test_every_measure_average_and_remark_by_hand(tmp_path: Path) -> None:
    write_questions(tmp_path)
    table = table_of(tmp_path)
    parts = ["before RL", "all", "ID", "OOD", "overall", "one_hop", "three_hop", "two_hop"]
    means, intervals = printed(table, "Mean"), printed(table, "95 %")
    for measure, arm, expected in (
        ("Exact match", "off", ["25.0", "50.0", "75.0", "0.0", "50.0", "50.0", "0.0", "100.0"]),
        ("Exact match", "full", ["25.0", "75.0", "100.0", "0.0", "66.7", "100.0", "0.0", "100.0"]),
        ("F1", "off", ["37.5", "87.5", "100.0", "50.0", "83.3", "100.0", "50.0", "100.0"]),
    ):
        assert [means["GRPO", arm][f"{measure} {part}"].split(" ±")[0] for part in parts] == expected
    assert list(means["GRPO", "off"]) == [f"{measure} {part}" for measure in ("Exact match", "F1") for part in parts]
    assert [means["GRPO", "full"][f"F1 {part}"].split("± ")[1] for part in ("all", "OOD", "overall")] == [
        "17.7", "70.7", "23.6",
    ]  # fmt: skip
    for column, off, full in (
        ("Exact match all", "0.0 – 100.0", "0.0 – 100.0"),
        ("Exact match ID", "0.0 – 100.0", "100.0 – 100.0"),
        ("Exact match overall", "0.0 – 100.0", "66.7 – 66.7"),
        ("F1 all", "47.7 – 100.0", "47.7 – 100.0"),
        ("F1 OOD", "0.0 – 100.0", "0.0 – 100.0"),
        ("F1 overall", "0.0 – 100.0", "0.0 – 100.0"),
    ):
        assert (intervals["GRPO", "off"][column], intervals["GRPO", "full"][column]) == (off, full), column
    (differences,) = (part for part in document_of(table).tables if part.title.startswith("Paired"))
    assert [row[2:] for row in differences.rows] == [
        ("Exact match all", "2", "4", "+25.0", "-54.6 – +100.0", "0.782", "> 100", "noise"),
        ("F1 all", "2", "4", "+0.0", "+0.0 – +0.0", "1.000", "–", "noise"),
    ]
    assert document_of(table).notes[-1] == "Remark: every judge was asleep."
    write_figure("learning_curves", tmp_path, tmp_path / "out")
    assert "<!-- exact match (%) -->" in (tmp_path / "out" / "learning_curves.svg").read_text()


def test_an_average_whose_types_were_not_all_played_is_left_out(tmp_path: Path) -> None:
    """Out of domain alone was played, or nothing is out of domain: no average of that name, nor an "overall" that is
    half of it."""
    for name, types, averages, shown in (
        ("ood", ["three_hop"], AVERAGES, {"OOD"}),
        ("id", ["one_hop", "two_hop"], AVERAGES, {"ID"}),
        ("none", ["one_hop", "two_hop"], {"in_domain": ["one_hop", "two_hop"], "out_of_domain": []}, {"ID"}),
        ("others", ["four_hop"], AVERAGES, set()),
    ):
        said = QUESTIONS | {"averages": averages}
        how: dict[str, Any] = {"types": types, "said": said, "benchmark": DEEPSEARCH}
        scores = {0: [0, 0], 2: [1, 0.5]}
        write_results(tmp_path / name, "grpo", "off", 0, {0: [0, 0], 2: [1, 0]}, scores=scores, **how)
        (cells,) = printed(table_of(tmp_path / name), "Mean").values()
        columns = {column.removeprefix("F1 ") for column in cells if column.startswith("F1 ")}
        assert columns & {"ID", "OOD", "overall"} == shown, name


def test_a_measure_that_equals_success_has_no_columns_of_its_own(tmp_path: Path) -> None:
    how: dict[str, Any] = {"types": ["one_hop"], "said": QUESTIONS, "benchmark": DEEPSEARCH}
    write_results(tmp_path, "grpo", "off", 0, {0: [0, 0], 2: [1, 0]}, **how)
    (cells,) = printed(table_of(tmp_path), "Mean").values()
    assert not any(column.startswith("F1") for column in cells)
    (group,) = {column.group for _, column in table_of(tmp_path).columns}
    assert group == "Exact match = F1"


def test_a_shop_has_its_score_beside_success(tmp_path: Path) -> None:
    """100 × the mean of evaluations.score. The arms' success is the same and certain, the score gains ½ of every task:
    ten games alike, p = 2/2¹⁰, times the two comparisons."""
    said = {"measures": {"score": "score", "success": "success"}}
    for arm, score in (("off", 0.25), ("full", 0.75)):
        for seed in range(5):
            scores = {0: [0, 0], 2: [score, score]}
            write_results(tmp_path, "grpo", arm, seed, {0: [0, 0], 2: [0, 0]}, scores=scores, said=said)
    table = table_of(tmp_path)
    full = printed(table, "Mean")["GRPO", "full"]
    assert (full["Success all"], full["Score all"]) == ("0.0 ± 0.0", "75.0 ± 0.0")
    assert [(c.shown[1].measure, c.verdict) for c in table.contrasts] == [("success", "noise"), ("score", "higher")]
    assert table.contrasts[1].corrected == pytest.approx(2 / 512)


def test_a_terminal_of_80_columns_shows_it_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table of many columns stands in parts; no number is cut, no line is longer than the terminal."""
    write_questions(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("pipelines.reporting.rendering._LOG_COLUMNS", 80)
    show(summary_of(table_of(tmp_path)))
    lines = capsys.readouterr().out.splitlines()
    said = "\n".join(line for line in lines if "stand-in" not in line)  # the title is a sentence, and wraps
    assert max(map(len, said.splitlines())) <= 80
    for text in ("87.5 ± 17.7", "-54.6 – +100.0", "noise", "Remark: every judge was asleep."):
        assert text in said
    assert "…" not in said


# --------------------------------------------------------------------------------------------------------------- the command


def report(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines.reporting", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_the_command_says_what_is_wrong_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_results(tmp_path / "runs", "grpo", "off", 0, {0: [0], 2: [1]})
    (folder / "metrics.parquet").unlink()
    for runs, said in (
        (tmp_path / "nothing", "no finished run below"),
        (tmp_path / "runs", "metrics.parquet is missing"),
    ):
        folders = ["--runs", str(runs), "--settings", str(tmp_path / "none"), "--out", str(tmp_path / "out")]
        monkeypatch.setattr(sys, "argv", ["reporting", "table", "cells", *folders])
        assert main() == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert said in error
        assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_the_command_exits_with_1(tmp_path: Path) -> None:
    done = report("table", "cells", "--runs", str(tmp_path), "--settings", "none", "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: no finished run below {tmp_path}: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments", [[], ["table"], ["pies", "--runs", "a", "--out", "b"], ["table", "cells", "--runs", "a"]]
)
def test_a_wrong_command_line_is_reported(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["reporting", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "usage: python -m pipelines.reporting" in capsys.readouterr().err


def test_a_study_is_collected_anew(tmp_path: Path) -> None:
    """From runs/<cell>-<settings>/seed<k>/results, whatever else is there; what the study had before is gone."""
    runs = [tmp_path / "runs" / "cell-a1b2c3" / f"seed{seed}" for seed in (0, 1)]
    for run in runs:
        (run / "results").mkdir(parents=True)
        (run / "results" / "run.json").write_text(run.name)
        (run / "params.yaml").write_text("not a result")
    study = tmp_path / "results" / "demo"
    (study / "old").mkdir(parents=True)
    collect(runs, study)
    files = {str(path.relative_to(study)): path.read_text() for path in study.rglob("*") if path.is_file()}
    assert files == {f"cell-a1b2c3/seed{seed}/run.json": f"seed{seed}" for seed in (0, 1)}
    assert [path.name for path in study.parent.iterdir()] == ["demo"], "no draft is left"
    assert (runs[0] / "results" / "run.json").is_file()


def test_a_study_that_cannot_be_collected_stays(tmp_path: Path) -> None:
    study = tmp_path / "results" / "demo"
    study.mkdir(parents=True)
    (study / "kept").write_text("")
    with pytest.raises(FileNotFoundError):
        collect([tmp_path / "runs" / "cell" / "seed0"], study)
    assert (study / "kept").is_file()
