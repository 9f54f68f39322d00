"""The record of a run: what the committed grid wrote is read, and what is no record is named in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.run_info import EMPG_COLUMNS, Column, RunInfo, read_run_info
from tests.pipelines.run_records import GRID, record, record_values


def read(folder: Path, values: Any) -> RunInfo:
    (folder / "run.json").write_text(json.dumps(values))
    return read_run_info(folder)


def test_the_committed_grid_is_read_and_its_columns_are_empgs() -> None:
    infos = [read_run_info(file.parent) for file in GRID]
    assert len(infos) == 84
    assert {column.name for info in infos for column in info.columns} == {
        "A", "H", "H_norm", "g", "f", "A_mod", "A_final"
    }  # fmt: skip
    assert {(info.scale, info.benchmark) for info in infos} == {
        ("laptop", name) for name in ("alfworld", "webshop", "deepsearch")
    }
    for info, file in zip(infos, GRID, strict=True):
        written = json.loads(file.read_text())
        changed = {key for key, value in info.values().items() if value != written.get(key)}
        assert changed == {"columns", "command", "committed", "config", "machines", "stages"}, (
            "all but one are new; a key of config has another name since"
        )
        assert (info.machines, info.stages) == ([], {}), "it does not say"


def test_columns_that_a_method_declares_are_kept(tmp_path: Path) -> None:
    columns = [
        {"name": "Ret", "label": "return", "unit": "points"},
        {"name": "A_S", "label": "step advantage", "unit": ""},
    ]
    info = read(tmp_path, record_values(columns=columns))
    assert info.columns == (
        Column(name="Ret", label="return", unit="points"),
        Column(name="A_S", label="step advantage"),
    )
    assert read(tmp_path, info.values()) == info
    assert read(tmp_path, record_values()).columns == EMPG_COLUMNS


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ([], "object"),
        ({**record_values(), "seed": "0"}, "seed: "),
        ({**record_values(), "mood": "good"}, "mood: "),
        ({key: value for key, value in record_values().items() if key != "panel_sha256"}, "panel_sha256: "),
        ({**record_values(), "measures": {"score": "F1"}}, "measures: success is missing"),
        (
            record_values(config={**record_values()["config"], "model": {"name": "m"}}),
            "config: model.weights is missing",
        ),
        (record_values(columns=[{"name": "A"}]), "columns.0.label: "),
    ],
)
def test_what_is_no_record_is_named_in_one_line(tmp_path: Path, values: Any, wrong: str) -> None:
    with pytest.raises(ValueError) as caught:
        read(tmp_path, values)
    assert wrong in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        record().seed = 1  # type: ignore[misc]
