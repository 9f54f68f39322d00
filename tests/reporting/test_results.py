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
from pipelines.reporting.names import in_papers_order
from pipelines.reporting.results import check_measured_alike, find_results, outcomes, read_run, read_study
from tests.reporting.results import edit_table, replace_table, write_results, write_study

FILES = ["run.json", "evaluations.parquet", "metrics.parquet", "SHA256SUMS"]


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def test_runs_are_found_and_ordered_as_in_the_paper(tmp_path: Path) -> None:
    """Algorithms that the paper lacks follow by name."""
    write_study(tmp_path)
    for algorithm, arm in (("grpo", "future_bonus"), ("rloo", "off"), ("dr_grpo", "full"), ("dr_grpo", "off")):
        write_results(tmp_path, algorithm, arm, 0, {0: [0], 2: [1]})
    runs = in_papers_order(read_study(tmp_path))
    assert list(dict.fromkeys((run.info.algorithm, run.info.arm) for run in runs)) == [
        ("grpo", "off"), ("grpo", "future_bonus"), ("grpo", "full"), ("dapo", "off"), ("dapo", "full"),
        ("dr_grpo", "off"), ("dr_grpo", "full"), ("rloo", "off"),
    ]  # fmt: skip
    assert [run.seed for run in runs[:2]] == [0, 1]


def test_successes_are_paired_by_task_whatever_the_order_of_rows(tmp_path: Path) -> None:
    run = read_run(write_results(tmp_path, "grpo", "off", 0, {0: [0, 0], 2: [1, 0, 1, 0]}))
    run.evaluations.sort_values("task_id", ascending=False, inplace=True)
    values, types = outcomes([run], "success")
    assert (values.tolist(), types) == ([[1, 0, 1, 0]], ["pick", "look", "pick", "look"])
    assert outcomes([run], "success", iteration=0)[0].tolist() == [[0, 0]]
    assert outcomes([run], "success", types=["look"])[0].tolist() == [[0, 0]]


def test_nothing_finished(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=str(tmp_path)):
        find_results(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write_results(tmp_path, "grpo", "off", 0, {0: [0], 2: [1]})
    (folder / name).unlink()
    with pytest.raises(DataError) as caught:
        read_run(folder)
    assert str(caught.value).startswith(f"{folder / name} is missing: ")
    assert "launch the run again" in str(caught.value)


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
        ("results/grid", "`git checkout -- {folder}`"),
        ("results/demo", "`dvc checkout results/demo.dvc`"),
        ("runs/any", ""),
    ],
)
def test_the_remedy_is_of_whoever_keeps_the_results(tmp_path: Path, study: str, remedy: str) -> None:
    folder = write_results(tmp_path / study, "grpo", "off", 0, {0: [0], 2: [1]})
    (folder / "metrics.parquet").unlink()
    with pytest.raises(DataError) as caught:
        read_run(folder)
    assert str(folder / "metrics.parquet") in str(caught.value)
    assert (remedy or "launch the run again").format(folder=folder) in str(caught.value)
    assert ("`" in str(caught.value)) == bool(remedy)


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
    runs = [read_run(one), read_run(other)]
    with pytest.raises(DataError) as caught:
        outcomes(runs, "success", 2)
    said = str(caught.value)
    assert said.startswith(f"{other}/evaluations.parquet ")
    assert "at iteration 2" in said
    assert re.search(r"\b(task0|task1|other)\b", said), "a task that does not match is named"
    assert outcomes(runs, "success", 0)[0].tolist() == [[0, 0], [0, 0]]


def test_a_task_that_stands_twice_in_one_run_is_named(tmp_path: Path) -> None:
    """Alone it would weigh twice in the run's mean, and nothing else would tell."""
    folder = write_results(tmp_path, "grpo", "off", 0, {0: [0, 0], 2: [1, 1]})
    edit_table(folder / "evaluations.parquet", task_id=["task0", "task1", "task7", "task7"])
    with pytest.raises(DataError, match="task7 twice at iteration 2"):
        outcomes([read_run(folder)], "success")


def test_a_task_that_was_played_several_times_has_its_mean(tmp_path: Path) -> None:
    """Tasks 0 and 1, twice each: 1 and 0, 1 and 1. A sample that stands twice is named."""
    folder = write_results(tmp_path, "grpo", "off", 0, {0: [0] * 4, 2: [1, 1, 0, 1]})
    file = folder / "evaluations.parquet"
    edit_table(file, task_id=["task0", "task1"] * 4, sample=[0, 0, 1, 1] * 2)
    values, types = outcomes([read_run(folder)], "success")
    assert (values.tolist(), types) == ([[0.5, 1]], ["pick", "look"])
    edit_table(file, sample=[0, 0, 1, 0] * 2)
    with pytest.raises(DataError, match="task1 twice at iteration 2"):
        outcomes([read_run(folder)], "success")


def test_a_pattern_is_all_folders_that_it_matches(tmp_path: Path) -> None:
    off = write_results(tmp_path / "smoke-off", "grpo", "off", 0, {0: [0], 2: [1]})
    full = write_results(tmp_path / "smoke-full", "grpo", "full", 0, {0: [0], 2: [1]})
    write_results(tmp_path / "laptop-off", "dapo", "off", 0, {0: [0], 2: [1]})
    assert find_results(tmp_path / "smoke-*") == sorted([off, full])
    named = write_results(tmp_path / "of[1]", "grpo", "off", 0, {0: [0], 2: [1]})
    assert find_results(tmp_path / "of[1]") == [named]
    with pytest.raises(DataError, match="paper-"):
        find_results(tmp_path / "paper-*")


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"panel": "q" * 64}, "q" * 12),
        ({"said": {"remarks": ["scored by a rule"]}}, "scored by a rule"),
        ({"said": {"measures": {"success": "judged right"}}}, "judged right"),
        ({"said": {"averages": {"overall": ["pick", "look"]}}}, "overall"),
    ],
)
def test_what_was_measured_differently_is_not_compared(tmp_path: Path, other: dict[str, Any], named: str) -> None:
    off = write_results(tmp_path, "grpo", "off", 0, {0: [0], 2: [1]})
    full = write_results(tmp_path, "grpo", "full", 0, {0: [0], 2: [1]}, **other)
    with pytest.raises(DataError, match=named) as caught:
        check_measured_alike([read_run(off), read_run(full)])
    assert str(off) in str(caught.value)
    assert str(full) in str(caught.value)
    assert str(caught.value).endswith("report them apart")


def test_a_measure_that_the_evaluations_lack_is_named(tmp_path: Path) -> None:
    said = {"measures": {"success": "success", "nothing": "nothing"}}
    folder = write_results(tmp_path, "grpo", "off", 0, {0: [0], 2: [1]}, said=said)
    with pytest.raises(DataError, match=r"evaluations.parquet is malformed .*nothing"):
        read_run(folder)
