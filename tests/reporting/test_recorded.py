"""Runs that were made before a setting existed are compared with runs that have it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.config import ExperimentConfig
from pipelines.errors import DataError
from pipelines.files import write_checksums
from pipelines.reporting.comparable import check_one_cell, planned_study
from pipelines.reporting.deviations import deviations_of
from pipelines.reporting.recorded import read_recorded, with_defaults
from tests.reporting.study import experiment_of, settings, write_cell

DEEPSEARCH = "benchmark=deepsearch model=qwen2.5_32b algorithm=dapo empg=off"


def forget(folder: Path, *path: str) -> None:
    """Take a setting out of what a run recorded."""
    info = json.loads((folder / "run.json").read_text())
    section = info["config"]
    for name in path[:-1]:
        section = section[name]
    del section[path[-1]]
    (folder / "run.json").write_text(json.dumps(info))
    write_checksums(folder)


@pytest.mark.parametrize(
    "path", [("benchmark", "answers"), ("rollout", "environment_attempts"), ("policy", "torch_threads")]
)
def test_a_setting_that_did_not_exist_has_its_default(tmp_path: Path, path: tuple[str, ...]) -> None:
    """Of a section, of a section's section, and of the one kind of benchmark that the run chose."""
    old, new = write_cell(tmp_path / "grid", DEEPSEARCH, [[1, 0], [1, 0]], types=["one_hop", "two_hop"])
    forget(old, *path)
    assert (
        with_defaults(json.loads((new / "run.json").read_text())["config"], ExperimentConfig)
        == experiment_of(*DEEPSEARCH.split()).model_copy(update={"seed": 1}).values()
    )
    check_one_cell(planned_study(tmp_path / "grid"))
    one, other = (deviations_of(read_recorded(folder).config, "dapo", settings()) for folder in (old, new))
    assert one == other


def test_another_value_than_the_default_is_another_setting(tmp_path: Path) -> None:
    cell = f"{DEEPSEARCH} benchmark.answers.normalization=numeric"
    (old,) = write_cell(tmp_path / "grid" / "a", DEEPSEARCH, [[1, 0]], types=["one_hop", "two_hop"])
    write_cell(tmp_path / "grid" / "b", cell, [[1, 0]], types=["one_hop", "two_hop"], seeds=[1])
    forget(old, "benchmark", "answers")
    with pytest.raises(DataError, match="other settings than the seed"):
        check_one_cell(planned_study(tmp_path / "grid"))


def test_what_nobody_knows_any_more_stays() -> None:
    values: dict[str, Any] = {"benchmark": {"name": "gone", "rooms": 3}, "training": {"mood": "good"}}
    completed = with_defaults(values, ExperimentConfig)
    assert completed["benchmark"] == values["benchmark"]
    assert completed["training"]["mood"] == "good"
