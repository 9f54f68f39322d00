"""The tables as they are declared: names and types, and that declaring them costs no import."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pyarrow as pa

from pipelines.records import Task
from pipelines.schemas import CHOSEN_TRAJECTORIES, EVALUATIONS, KEY, RUN_EVALUATIONS, STEPS, TASK, Table


def test_types_are_arrows_own() -> None:
    table = Table("t.parquet", {"a": "int32", "b": "list<float32>", "c": "string", "d": "bool"}).schema
    assert table == pa.schema([("a", pa.int32()), ("b", pa.list_(pa.float32())), ("c", pa.string()), ("d", pa.bool_())])


def test_a_table_without_rows_has_its_columns() -> None:
    table = STEPS.of([])
    assert table.num_rows == 0
    assert table.schema == STEPS.schema
    assert tuple(table.column_names[:3]) == KEY


def test_further_columns_stand_after_the_own_or_before() -> None:
    assert list(RUN_EVALUATIONS.columns) == ["iteration", *EVALUATIONS.columns]
    assert list(EVALUATIONS.extended({"x": "int32"}).columns)[-1] == "x"


def test_the_columns_of_a_task_are_its_fields() -> None:
    assert tuple(field.name for field in dataclasses.fields(Task)) == TASK


def test_a_trajectory_to_look_at_names_no_column_twice() -> None:
    assert len(CHOSEN_TRAJECTORIES.schema.names) == len(set(CHOSEN_TRAJECTORIES.schema.names))


def test_reading_the_names_imports_no_arrow() -> None:
    code = "import sys, pipelines.schemas; assert 'pyarrow' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
