"""Reading finished runs: what is missing, cut or not comparable is named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipelines.errors import DataError
from pipelines.files import write_checksums
from pipelines.reporting.results import by_cell, find_results, outcomes, read_run, read_runs
from tests.reporting.results import replace_table, write_results, write_study

FILES = ["run.json", "evaluations.parquet", "metrics.parquet", "SHA256SUMS"]


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def test_runs_are_found_and_ordered_as_in_the_paper(tmp_path: Path) -> None:
    write_study(tmp_path)
    write_results(tmp_path, "grpo", "future_bonus", 0, {0: [0], 2: [1]})
    write_results(tmp_path, "another", "off", 0, {0: [0], 2: [1]})
    runs = read_runs(find_results(tmp_path))
    cells = [(members[0].info.algorithm, members[0].info.arm) for members in by_cell(runs).values()]
    assert cells == [
        ("grpo", "off"), ("grpo", "future_bonus"), ("grpo", "full"), ("dapo", "off"), ("dapo", "full"), ("another", "off"),
    ]  # fmt: skip
    assert [run.seed for run in runs[:2]] == [0, 1]


def test_algorithms_that_the_paper_lacks_follow_by_name(tmp_path: Path) -> None:
    for algorithm in ("rloo", "dr_grpo", "grpo"):
        for arm in ("full", "off"):
            write_results(tmp_path, algorithm, arm, 0, {0: [0], 2: [1]})
    rows = [(run.info.algorithm, run.info.arm) for run in read_runs(find_results(tmp_path))]
    assert rows == [(algorithm, arm) for algorithm in ("grpo", "dr_grpo", "rloo") for arm in ("off", "full")]


def test_successes_are_paired_by_task_whatever_the_order_of_rows(tmp_path: Path) -> None:
    run = read_run(write_results(tmp_path, "grpo", "off", 0, {0: [0, 0], 2: [1, 0, 1, 0]}))
    run.evaluations.sort_values("task_id", ascending=False, inplace=True)
    values, types = outcomes([run], "success")
    assert (values.tolist(), types) == ([[1, 0, 1, 0]], ["pick", "look", "pick", "look"])
    assert outcomes([run], "success", iteration=0)[0].tolist() == [[0, 0]]
    assert outcomes([run], "success", types=["look"])[0].tolist() == [[0, 0]]


def test_nothing_finished(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no finished run below .*: launch one"):
        find_results(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write_results(tmp_path, "grpo", "off", 0, {0: [0], 2: [1]})
    (folder / name).unlink()
    with pytest.raises(DataError) as caught:
        read_run(folder)
    assert str(caught.value) == f"{folder / name} is missing: launch the run again"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [lambda content: content[:-30], lambda content: b"", flip])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    folder = write_results(tmp_path, "grpo", "off", 0, {0: [0], 2: [1]})
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    with pytest.raises(DataError) as caught:
        read_run(folder)
    accused = next(file for file in FILES if str(caught.value).startswith(str(folder / file)))
    assert accused == name or name == "SHA256SUMS"  # a bit of a checksum accuses the file it belongs to
    assert_malformed(folder / accused, str(caught.value))


@pytest.mark.parametrize(
    ("study", "remedy"),
    [
        ("results/grid", "`git checkout -- {folder}` has it as committed, or launch the run again"),
        ("results/demo", "`dvc checkout results/demo.dvc` brings it back, or launch the run again"),
        ("runs/any", "launch the run again"),
    ],
)
def test_the_remedy_is_of_whoever_keeps_the_results(tmp_path: Path, study: str, remedy: str) -> None:
    folder = write_results(tmp_path / study, "grpo", "off", 0, {0: [0], 2: [1]})
    (folder / "metrics.parquet").unlink()
    with pytest.raises(DataError) as caught:
        read_run(folder)
    assert str(caught.value) == f"{folder / 'metrics.parquet'} is missing: {remedy.format(folder=folder)}"


def assert_malformed(file: Path, said: str) -> None:
    """One line: the file, the reason, the remedy."""
    said = said.removeprefix(f"{file} is malformed (")
    assert re.fullmatch(r".+\): launch the run again", said)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "JSON"),
        ("[]", "object"),
        ("null", "object"),
        ('{"cell": "c"}', "seed: "),
        ("{'cell': 1}", "JSON"),
        ("\udcff", "JSON"),
    ],
)
def test_a_malformed_record_is_named(tmp_path: Path, text: str, reason: str) -> None:
    folder = write_results(tmp_path, "grpo", "off", 0, {0: [0], 2: [1]})
    (folder / "run.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    write_checksums(folder)
    with pytest.raises(DataError, match=reason) as caught:
        read_run(folder)
    assert_malformed(folder / "run.json", str(caught.value))


@pytest.mark.parametrize("key", ["scale", "benchmark", "model", "algorithm", "empg", "training"])
def test_a_record_whose_configuration_lacks_what_names_a_row_is_named(tmp_path: Path, key: str) -> None:
    folder = write_results(tmp_path, "grpo", "off", 0, {0: [0], 2: [1]})
    info = json.loads((folder / "run.json").read_text())
    del info["config"][key]
    (folder / "run.json").write_text(json.dumps(info))
    write_checksums(folder)
    with pytest.raises(DataError, match=key) as caught:
        read_run(folder)
    assert_malformed(folder / "run.json", str(caught.value))


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("evaluations.parquet", "iteration"),
        ("evaluations.parquet", "task_id"),
        ("evaluations.parquet", "task_type"),
        ("evaluations.parquet", "success"),
        ("metrics.parquet", "iteration"),
    ],
)
def test_a_table_without_its_columns_is_named(tmp_path: Path, name: str, column: str) -> None:
    folder = write_results(tmp_path, "grpo", "off", 0, {0: [0], 2: [1]})
    replace_table(folder / name, pd.read_parquet(folder / name).drop(columns=column))
    with pytest.raises(DataError, match=column) as caught:
        read_run(folder)
    assert_malformed(folder / name, str(caught.value))


def test_an_empty_table_is_named(tmp_path: Path) -> None:
    folder = write_results(tmp_path, "grpo", "off", 0, {0: [0], 2: [1]})
    file = folder / "evaluations.parquet"
    replace_table(file, pd.read_parquet(file).iloc[:0])
    with pytest.raises(DataError) as caught:
        read_run(folder)
    assert_malformed(file, str(caught.value))


@pytest.mark.parametrize(
    "edit",
    [
        lambda table: table.iloc[:-1],  # a task less
        lambda table: table.assign(task_id=table["task_id"].str.replace("task1", "other")),  # as many, others
        lambda table: table.assign(task_id=table["task_id"].str.replace("task1", "task0")),  # one twice
        lambda table: table.iloc[:0],
    ],
)
def test_what_did_not_play_the_same_tasks_is_not_paired(
    tmp_path: Path, edit: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    one, other = (write_results(tmp_path, "grpo", "off", seed, {0: [0, 0], 2: [1, 1]}) for seed in (0, 1))
    table = pd.read_parquet(other / "evaluations.parquet")
    start, played = (table[table["iteration"] == at] for at in (0, 2))
    replace_table(other / "evaluations.parquet", pd.concat([start, edit(played)]))
    runs = read_runs([one, other])
    with pytest.raises(DataError) as caught:
        outcomes(runs, "success", 2)
    assert str(caught.value) == (
        f"{other}/evaluations.parquet and {one}/evaluations.parquet have other tasks at iteration 2: "
        "they cannot be compared, report them apart"
    )
    assert outcomes(runs, "success", 0)[0].tolist() == [[0, 0], [0, 0]]


def test_two_panels_are_never_compared(tmp_path: Path) -> None:
    write_results(tmp_path, "grpo", "off", 0, {0: [0], 2: [1]})
    write_results(tmp_path, "grpo", "off", 1, {0: [0], 2: [1]}, panel="q" * 64)
    with pytest.raises(DataError) as caught:
        read_runs(find_results(tmp_path))
    one, other = (tmp_path / "test-alfworld-tiny-grpo-off" / f"seed{seed}" for seed in (0, 1))
    assert str(caught.value) == (
        f"{other} was evaluated on panel {'q' * 12}, {one} on {'p' * 12}: they cannot be compared, report them apart"
    )


def test_a_cell_and_seed_stands_once(tmp_path: Path) -> None:
    for root in (tmp_path / "a", tmp_path / "b"):
        write_results(root, "grpo", "off", 0, {0: [0], 2: [1]})
    with pytest.raises(DataError, match="the same cell and seed: report one") as caught:
        read_runs(find_results(tmp_path))
    for name in ("a", "b"):
        assert str(tmp_path / name / "test-alfworld-tiny-grpo-off" / "seed0") in str(caught.value)


@pytest.mark.parametrize("settings", [{}, {"training": {"learning_rate": 2.0}}])
def test_seeds_of_a_cell_share_their_settings(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Another learning rate is no other seed: their mean and their spread would say nothing."""
    write_results(tmp_path, "grpo", "off", 0, {0: [0], 2: [1]}, training={"learning_rate": 1.0})
    write_results(tmp_path, "grpo", "off", 1, {0: [0], 2: [1]}, **settings)
    with pytest.raises(DataError, match=r"seed0 and .*seed1 are the same cell with other settings .*: report one"):
        read_runs(find_results(tmp_path))


def test_arms_may_differ_in_their_settings(tmp_path: Path) -> None:
    write_results(tmp_path, "grpo", "off", 0, {0: [0], 2: [1]}, training={"learning_rate": 1.0})
    write_results(tmp_path, "grpo", "full", 0, {0: [0], 2: [1]}, training={"learning_rate": 2.0})
    assert len(read_runs(find_results(tmp_path))) == 2


@pytest.mark.parametrize("other", [{"model": "large"}, {"scale": "paper"}, {"benchmark": {"name": "another"}}])
def test_one_table_has_one_model_scale_and_benchmark(tmp_path: Path, other: dict[str, Any]) -> None:
    """A row shows the algorithm and the arm alone: two models' rows could not be told apart, nor their arms paired."""
    write_results(tmp_path / "a", "grpo", "off", 0, {0: [0], 2: [1]})
    write_results(tmp_path / "b", "grpo", "full", 0, {0: [0], 2: [1]}, **other)
    with pytest.raises(DataError, match=r"b/.*seed0 is .*, .*a/.*seed0 is test alfworld tiny: report them apart"):
        read_runs(find_results(tmp_path))


@pytest.mark.parametrize(
    "said",
    [
        {"remarks": ["scored by a rule"]},
        {"measures": {"success": "judged right"}},
        {"averages": {"overall": ["pick", "look"]}},
    ],
)
def test_what_was_measured_differently_is_not_compared(tmp_path: Path, said: dict[str, Any]) -> None:
    write_results(tmp_path, "grpo", "off", 0, {0: [0], 2: [1]})
    write_results(tmp_path, "grpo", "full", 0, {0: [0], 2: [1]}, said=said)
    (what,) = said
    with pytest.raises(DataError, match=rf"grpo-full/seed0 has the {what} .*, .*grpo-off/seed0 .*: report them apart"):
        read_runs(find_results(tmp_path))


def test_a_measure_that_the_evaluations_lack_is_named(tmp_path: Path) -> None:
    said = {"measures": {"success": "success", "nothing": "nothing"}}
    folder = write_results(tmp_path, "grpo", "off", 0, {0: [0], 2: [1]}, said=said)
    with pytest.raises(DataError, match=r"evaluations.parquet is malformed .*nothing"):
        read_run(folder)
