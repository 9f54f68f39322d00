"""The paper's tables from studies made by hand: numbers, differences, what is missing, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.reporting.printing import differences_csv, document_of, title_of
from pipelines.reporting.specification import specifications
from pipelines.reporting.tables import StudyTable
from pipelines.versions import STAGES
from tests.reporting.study import ALFWORLD, PICK_LOOK, experiment_of, refusal_of, table_of, write_cell

GRPO = "benchmark=alfworld model=qwen2.5_1.5b algorithm=grpo"
OFF, FULL = [[1, 0, 0, 0], [1, 1, 1, 0]], [[1, 1, 1, 0], [1, 1, 1, 1]]  # pick, look, pick, look; two seeds


def grid_of(table: StudyTable, title: str) -> list[list[str]]:
    """The rows of the section whose title begins so."""
    (grid,) = (grid for grid in document_of(table).tables if grid.title.startswith(title))
    return [list(row) for row in grid.rows]


def row_of(table: StudyTable, title: str, *label: str) -> list[str]:
    """What stands behind a label of its section."""
    (row,) = (row for row in grid_of(table, title) if row[: len(label)] == list(label))
    return row[len(label) :]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> StudyTable:
    root = tmp_path_factory.mktemp("small") / "grid"
    write_cell(root, f"{GRPO} empg=off", OFF)
    write_cell(root, f"{GRPO} empg=full", FULL)
    return table_of(root)


# Means: off's seeds ¼ and ¾: .5, sd √(2·(¼)²) = .354; full's ¾ and 1: .875, sd .177. Pick (tasks 0 and 2): off ½ and 1,
# full 1 and 1; look: off 0 and ½, full ½ and 1: sd .354. The intervals over all, and of the difference, are derived in
# test_cells.py. In pick and look one game of four is unlike the others, if any: a standard error of ¼ with one degree of
# freedom (test_cells.py), and the interval ± 12.7/4 holds all shares.
def test_means_and_intervals_by_hand(small: StudyTable) -> None:
    label = ("qwen2.5-1.5b", "GRPO")
    none = ["–"] * 4
    assert row_of(small, "Mean", *label, "off") == ["75.0 ± 35.4", "25.0 ± 35.4", *none, "50.0 ± 35.4", "–", "–"]
    assert row_of(small, "Mean", *label, "full") == ["100.0 ± 0.0", "75.0 ± 35.4", *none, "87.5 ± 17.7", "–", "–"]
    assert row_of(small, "95 %", *label, "off") == ["0.0 – 100.0", "0.0 – 100.0", *none, "0.0 – 100.0", "–", "–"]
    assert row_of(small, "95 %", *label, "full") == ["100.0 – 100.0", "0.0 – 100.0", *none, "47.7 – 100.0", "–", "–"]
    assert row_of(small, "Seeds", *label, "full") == ["seeds 0, 1; 4 tasks", "–"]


def test_the_difference_by_hand(small: StudyTable) -> None:
    """Derived in test_cells.py, as the only comparison: t = 1.567 with 3 degrees of freedom, p = .215. For 80 % its noncentral t
    must be 4.256: 4.256·.239 = 1.019 is more than any difference."""
    assert grid_of(small, "Paired") == [
        ["qwen2.5-1.5b", "GRPO", "full", "ALFWorld All", "2", "4", "+37.5", "-38.7 – +100.0", "0.215", "> 100", "noise"]
    ]
    assert "1 of 1 differences to EMPG off are noise." in document_of(small).notes


def test_the_layout_is_the_papers(small: StudyTable) -> None:
    grid = document_of(small).tables[0]
    assert [(heading.group, heading.name) for heading in grid.header[3:]] == [
        *(("ALFWorld", name) for name in ("Pick", "Look", "Clean", "Heat", "Cool", "Pick2", "All")),
        ("WebShop", "Score"), ("WebShop", "Success"),
    ]  # fmt: skip
    methods = [
        ("prompting", "–"),
        ("ReAct", "–"),
        ("RLOO", "off"),
        ("GRPO", "off"),
        ("GRPO", "full"),
        ("DAPO", "off"),
        ("DAPO", "full"),
    ]
    assert [row[:3] for row in grid.rows] == [(m, *what) for m in ("qwen2.5-1.5b", "qwen2.5-7b") for what in methods]
    assert title_of(small) == (
        "Table 1: ALFWorld and WebShop, laptop scale — stand-in models made here: not comparable with the paper's numbers"
    )


def test_an_average_weighs_its_types_alike(tmp_path: Path) -> None:
    """Deep Search, two seeds alike. Off 10 1 0 | 0 (one hop twice, two, three | four): ID (½ + 1 + 0)/3 = ½, OOD 0, overall
    (½ + 1 + 0 + 0)/4 = .375. Full 11 1 0 | 1: ID ⅔, OOD 1, overall ¾.

    The difference has 0 and 1 in one hop: a variance of ½ with one degree of freedom, and the types of one task are given it. ID:
    (½/2 + ½ + ½)/9 = 5/36, 12.7 standard errors are 4.7: any difference. OOD: one task, and both seeds have 1. Were tasks
    alike, overall would be 2/5."""
    types = ["one_hop", "one_hop", "two_hop", "three_hop", "four_hop"]
    cell = "benchmark=deepsearch model=qwen2.5_32b algorithm=dapo"
    write_cell(tmp_path / "grid", f"{cell} empg=off", [[1, 0, 1, 0, 0]] * 2, types=types)
    write_cell(tmp_path / "grid", f"{cell} empg=full", [[1, 1, 1, 0, 1]] * 2, types=types)
    table = table_of(tmp_path / "grid", "table2")
    assert document_of(table).tables[0].names[3:] == [
        "one hop", "two hop", "three hop", "ID average", "four hop", "OOD average", "Overall",
    ]  # fmt: skip
    means = {
        arm: [cell.split(" ±")[0] for cell in row_of(table, "Mean", "qwen2.5-32b", "DAPO", arm)]
        for arm in ("off", "full")
    }
    assert means["off"] == ["50.0", "100.0", "0.0", "50.0", "0.0", "0.0", "37.5"]
    assert means["full"] == ["100.0", "100.0", "0.0", "66.7", "100.0", "100.0", "75.0"]
    assert [row[3:8] for row in grid_of(table, "Paired")] == [
        ["ID average", "2", "4", "+16.7", "-100.0 – +100.0"],
        ["OOD average", "2", "1", "+100.0", "+100.0 – +100.0"],
        ["Overall", "2", "5", "+37.5", "-100.0 – +100.0"],
    ]


def test_every_comparison_of_a_table_counts_for_holm(tmp_path: Path) -> None:
    """Three algorithms and models, five seeds. Two differences are certain, ten games alike: p = 2/2¹⁰ each; one is 0, p = 1:
    noise. Holm multiplies by 3, by 2 (lifted to the one before) and by 1. What does not vary has no detectable difference."""
    root = tmp_path / "grid"
    for cell, full in ((GRPO, 1), (GRPO.replace("grpo", "dapo"), 1), (GRPO.replace("1.5b", "7b"), 0)):
        for arm, won in (("off", 0), ("full", full)):
            write_cell(root, f"{cell} empg={arm}", [[won] * 2] * 5, types=PICK_LOOK[:2])
    table = table_of(root)
    assert [(c.row.model, c.row.method, c.verdict) for c in table.contrasts] == [
        ("qwen2.5-1.5b", "grpo", "higher"), ("qwen2.5-1.5b", "dapo", "higher"), ("qwen2.5-7b", "grpo", "noise"),
    ]  # fmt: skip
    assert [c.corrected for c in table.contrasts] == pytest.approx([3 / 512, 3 / 512, 1.0])
    assert [row[-3:] for row in grid_of(table, "Paired")] == [
        ["0.006", "–", "higher"],
        ["0.006", "–", "higher"],
        ["1.000", "–", "noise"],
    ]
    assert "1 of 3 differences to EMPG off are noise." in document_of(table).notes


def test_what_is_missing_is_reported(small: StudyTable, tmp_path: Path) -> None:
    assert len(small.missing) == 12 + 2  # rows without any run; webshop in the two others
    assert small.missing[:2] == (
        "qwen2.5-1.5b prompting on alfworld, webshop",
        "qwen2.5-1.5b react on alfworld, webshop",
    )
    assert "qwen2.5-1.5b grpo full (ζ = 0.05, k = 1.0) on webshop" in small.missing
    assert (
        "the panel of alfworld has no task of pick two obj and place, or not of all that it averages" in small.remarks
    )
    root = tmp_path / "grid"
    write_cell(root, f"{GRPO} empg=full empg.zeta=0.01", FULL)
    write_cell(root, f"{GRPO} empg=full", FULL[:1], seeds=[1])
    table = table_of(root, "table5")
    assert table.missing == (
        "qwen2.5-1.5b grpo full (ζ = 0.1, k = 1.0) on alfworld",
        "qwen2.5-1.5b grpo full (ζ = 0.05, k = 0.5) on alfworld",
        "qwen2.5-1.5b grpo full (ζ = 0.05, k = 1.5) on alfworld",
        "qwen2.5-1.5b grpo off on alfworld, which is compared with",
        "seed 0 of qwen2.5-1.5b grpo full (ζ = 0.05, k = 1.0) on alfworld",
    )
    assert table.contrasts == ()
    assert f"Missing: {'; '.join(table.missing)}." in document_of(table).notes


def test_without_any_of_its_cells_a_table_is_all_missing(small: StudyTable, tmp_path: Path) -> None:
    write_cell(tmp_path / "grid", f"{GRPO} empg=off", OFF)
    table = table_of(tmp_path / "grid", "table2")
    assert title_of(table) == "Table 2: Deep Search — none of its cells was run"
    (means,) = document_of(table).tables
    assert {cell for row in means.rows for cell in row[3:]} == {"–"}
    assert len(table.missing) == 4


def test_every_full_cell_has_all_columns(tmp_path: Path) -> None:
    """ALFWorld's six task types, and WebShop's score apart from its success: two of three tasks won, scores 1, 1, ½."""
    write_cell(tmp_path / "grid", f"{GRPO} empg=off", [[1, 0, 1, 0, 1, 0]], types=ALFWORLD)
    shop = GRPO.replace("alfworld", "webshop")
    write_cell(tmp_path / "grid", f"{shop} empg=off", [[1, 1, 0]], types=["shop"] * 3, scores=[1, 1, 0.5])
    row = row_of(table_of(tmp_path / "grid"), "Mean", "qwen2.5-1.5b", "GRPO", "off")
    assert row == ["100.0", "0.0", "100.0", "0.0", "100.0", "0.0", "50.0", "83.3", "66.7"]


# ------------------------------------------------------------------------------------------------ which run is which row


@pytest.mark.parametrize(
    ("overrides", "rows"),
    [
        ("algorithm=grpo empg=off", ["table1 qwen2.5-1.5b grpo off", "controls_alfworld qwen2.5-1.5b grpo off"]),
        ("algorithm=rloo empg=off", ["table1 qwen2.5-1.5b rloo off"]),
        (
            "algorithm=grpo empg=full",
            [
                "table1 qwen2.5-1.5b grpo full (ζ = 0.05, k = 1.0)",
                "table5 qwen2.5-1.5b grpo full (ζ = 0.05, k = 1.0)",
                "controls_alfworld qwen2.5-1.5b grpo full (ζ = 0.05, k = 1.0)",
            ],
        ),
        ("empg=full empg.k=0.5 empg.k_future=0.5", ["table5 qwen2.5-1.5b grpo full (ζ = 0.05, k = 0.5)"]),
        ("empg=full empg.k=0.5", []),
        ("empg=full empg.zeta=0.2", []),
        ("empg=full empg.normalization=group", ["controls_alfworld qwen2.5-1.5b grpo full (ζ = 0.05, k = 1.0, per group)"]),
        ("empg=center_only", ["controls_alfworld qwen2.5-1.5b grpo center only"]),
        ("empg=off algorithm=dr_grpo", []),
        ("empg=off training.iterations=0 algorithm.name=prompting", ["table1 qwen2.5-1.5b prompting"]),
        ("empg=off training.iterations=0 algorithm.name=react", ["table1 qwen2.5-1.5b react"]),
        ("empg=off training.iterations=0", ["table1 qwen2.5-1.5b prompting", "table1 qwen2.5-1.5b react"]),
        ("scale=paper empg=off training.iterations=0", ["table1 qwen2.5-1.5b prompting"]),
        ("scale=paper empg=off training.iterations=0 benchmark.prompt.history=full", ["table1 qwen2.5-1.5b react"]),
        (
            "benchmark=deepsearch model=qwen2.5_32b algorithm=dapo empg=future_bonus",
            ["table2 qwen2.5-32b dapo future bonus (ζ = 0.1, k = 1.0)"],
        ),
    ],
)  # fmt: skip
def test_a_runs_configuration_says_its_rows(overrides: str, rows: list[str]) -> None:
    config = experiment_of(*overrides.split()).values()
    tables = specifications().items()
    assert [f"{name} {row}" for name, table in tables for row in table.rows if row.holds(config)] == rows


def test_runs_of_no_row_are_left_out(small: StudyTable, tmp_path: Path) -> None:
    """Whatever they are: a table is not the place to refuse them."""
    root = tmp_path / "grid"
    write_cell(root, f"{GRPO} empg=off", OFF)
    write_cell(root, f"{GRPO} empg=full", FULL)
    write_cell(root, f"{GRPO} empg=full empg.zeta=0.2", OFF, panel="q" * 64)
    write_cell(root, f"{GRPO} empg=off scale=smoke algorithm=dr_grpo", [[0]], types=["pick"])
    assert document_of(table_of(root)) == document_of(small)


def test_one_run_of_two_rows_is_reported(tmp_path: Path) -> None:
    """At laptop scale every prompt is a whole transcript: prompting and ReAct are one."""
    write_cell(tmp_path / "grid", "benchmark=alfworld empg=off training.iterations=0", OFF)
    table = table_of(tmp_path / "grid")
    for method in ("prompting", "ReAct"):
        assert row_of(table, "Mean", "qwen2.5-1.5b", method, "–")[6] == "50.0 ± 35.4"
    assert "qwen2.5-1.5b prompting and qwen2.5-1.5b react are the same runs on alfworld" in table.remarks
    assert "a stand-in without training is its warm start" in table.remarks


# --------------------------------------------------------------------------------------------------------- what is refused


def test_one_benchmark_of_a_table_has_one_panel(tmp_path: Path) -> None:
    """Across its models too; another benchmark has its own."""
    root = tmp_path / "grid"
    (one,) = write_cell(root, f"{GRPO} empg=off", OFF[:1])
    write_cell(root, f"{GRPO.replace('alfworld', 'webshop')} empg=off", OFF[:1], panel="w" * 64)
    table_of(root)
    (other,) = write_cell(root, f"{GRPO.replace('1.5b', '7b')} empg=off", OFF[:1], panel="q" * 64)
    refusal = refusal_of(root)
    assert all(part in refusal for part in (str(other), "q" * 12, str(one), "p" * 12, "report them apart"))


def test_what_is_compared_with_has_the_same_panel(tmp_path: Path) -> None:
    """Table 5 does not show EMPG off."""
    write_cell(tmp_path / "grid", f"{GRPO} empg=full", FULL)
    write_cell(tmp_path / "grid", f"{GRPO} empg=off", OFF, panel="q" * 64)
    assert "they cannot be compared, report them apart" in refusal_of(tmp_path / "grid", "table5")


def test_a_table_has_one_scale(tmp_path: Path) -> None:
    root = tmp_path / "grid"
    (one,) = write_cell(root, f"{GRPO} empg=off", OFF[:1])
    (other,) = write_cell(root, f"{GRPO.replace('alfworld', 'webshop')} empg=off scale=smoke", OFF[:1])
    refusal = refusal_of(root)
    assert all(part in refusal for part in (str(other), "smoke", str(one), "laptop", "report them apart"))


def test_a_row_has_one_setting(tmp_path: Path) -> None:
    root = tmp_path / "grid"
    write_cell(root, f"{GRPO} empg=off", OFF[:1])
    write_cell(root, f"{GRPO} empg=off training.learning_rate=1e-3", OFF[:1], seeds=[1])
    assert "are the same row (qwen2.5-1.5b grpo off) with other settings than the seed: report one" in refusal_of(root)


def test_warm_starts_are_replicates_of_their_own(tmp_path: Path) -> None:
    """Two of two seeds each; full lacks one. Only runs of one warm start and seed are paired."""
    root = tmp_path / "grid"
    for start in (0, 1):
        write_cell(root, f"{GRPO} empg=off warm_start.seed={start}", OFF)
        write_cell(root, f"{GRPO} empg=full warm_start.seed={start}", FULL[: 2 - start])
    table = table_of(root)
    (contrast,) = (c for c in table.contrasts if c.shown[1].name == "All")
    d = contrast.difference
    assert (d.seeds, d.starts) == (3, 2)
    assert d.mean == pytest.approx((0.5 + 0.25 + 0.5) / 3)
    assert row_of(table, "Seeds and", "qwen2.5-1.5b", "GRPO", "off")[0] == (
        "warm start 0: seeds 0, 1; warm start 1: seeds 0, 1; 4 tasks"
    )
    assert any("seed 1 of warm start 1 of qwen2.5-1.5b grpo full" in missing for missing in table.missing)
    assert row_of(table, "Paired", "qwen2.5-1.5b", "GRPO", "full")[1] == "3 (2 warm starts)"
    notes = " ".join(document_of(table).notes)
    assert "within warm starts" in notes
    assert "begin with one warm start" not in notes
    assert "warm_starts" in differences_csv(table)


def test_one_warm_start_is_in_no_interval_and_in_no_column(small: StudyTable) -> None:
    assert "begin with one warm start" in " ".join(document_of(small).notes)
    assert "warm_starts" not in differences_csv(small)


def test_a_seed_of_a_row_stands_once(tmp_path: Path) -> None:
    write_cell(tmp_path / "grid" / "a", f"{GRPO} empg=off", OFF[:1])
    write_cell(tmp_path / "grid" / "b", f"{GRPO} empg=off", OFF[:1])
    assert refusal_of(tmp_path / "grid").endswith("are the same row (qwen2.5-1.5b grpo off) and seed: report one")


def test_what_was_measured_differently_is_not_one_table(tmp_path: Path) -> None:
    write_cell(tmp_path / "grid", f"{GRPO} empg=off", OFF)
    write_cell(tmp_path / "grid", f"{GRPO} empg=full", FULL, remarks=["scored by a rule"])
    assert "has the remarks ['scored by a rule']" in refusal_of(tmp_path / "grid")


@pytest.mark.parametrize("empg", ["off", "full"])
def test_runs_of_other_code_are_never_paired(tmp_path: Path, empg: str) -> None:
    """Neither two seeds of a row nor a row and its baseline; a record of before does not say what its code computed."""
    root = tmp_path / "grid"
    write_cell(root, f"{GRPO} empg=off", OFF[:1], stages={})
    write_cell(root, f"{GRPO} empg={empg}", OFF[:1], seeds=[1 if empg == "off" else 0])
    refusal = refusal_of(root)
    assert all(text in refusal for text in (f"rollout {STAGES['rollout']}", "it is older", "with the same code"))


def test_a_difference_across_kinds_of_machine_is_named(tmp_path: Path) -> None:
    """Seed 0 of both arms is of one kind, seed 1 of two. Instructions that all have tell nothing."""
    root = tmp_path / "grid"
    one, other = {"cpu": "Zen", "vectors": "avx avx512f"}, {"cpu": "Zen", "vectors": "avx"}
    write_cell(root, f"{GRPO} empg=off", OFF, machines=[one])
    write_cell(root, f"{GRPO} empg=full", FULL[:1], machines=[one])
    assert "machine" not in str(table_of(root).remarks)
    write_cell(root, f"{GRPO} empg=full", FULL[1:], seeds=[1], machines=[other])
    kinds, across = (remark for remark in table_of(root).remarks if "machine" in remark)
    assert all(text in kinds for text in ("2 kinds", "vectors avx512f: 3", "vectors the common ones: 1"))
    assert "full" in across
    assert "(seed 1)" in across


def test_a_bad_file_is_named_whatever_table_it_is_of(tmp_path: Path) -> None:
    (folder,) = write_cell(tmp_path / "grid", f"{GRPO} empg=off", OFF[:1])
    (folder / "evaluations.parquet").unlink()
    assert refusal_of(tmp_path / "grid", "table2").startswith(f"{folder / 'evaluations.parquet'} is missing: ")


def test_a_result_that_lost_its_record_is_named(tmp_path: Path) -> None:
    write_cell(tmp_path / "grid", f"{GRPO} empg=full", FULL[:1])
    (folder,) = write_cell(tmp_path / "grid", f"{GRPO} empg=off", OFF[:1])
    (folder / "run.json").unlink()
    assert refusal_of(tmp_path / "grid").startswith(f"{folder / 'run.json'} is missing: ")
