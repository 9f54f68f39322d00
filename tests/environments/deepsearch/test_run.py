"""A run on invented worlds says its averages."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.experiment import run_experiment
from pipelines.files import read_json
from tests.pipelines.runs import Quiet, small_config, small_run, with_data


def test_a_run_says_its_averages(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    told = Quiet()
    with_data(small_run(tmp_path_factory, "deepsearch"), tmp_path)
    folder = run_experiment(small_config(tmp_path, "deepsearch", training__iterations=1), told)
    said = told.said[1]
    kinds = [said[f"evaluation/success_{kind}"] for kind in ("one_hop", "two_hop", "three_hop")]
    assert said["evaluation/success_in_domain"] == sum(kinds[:2]) / 2
    assert said["evaluation/success_out_of_domain"] == kinds[2]
    assert said["evaluation/success_overall"] == pytest.approx(sum(kinds) / 3)
    info = read_json(folder / "results" / "run.json")
    assert info["measures"] == {"success": "exact match", "score": "F1"}
    assert info["averages"]["overall"] == ["one_hop", "two_hop", "three_hop"]
    assert info["remarks"] == []
