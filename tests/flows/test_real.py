"""``make real``: which runs it launches, and what it says where its package is missing."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any, NoReturn

import pytest

from flows.real import main, read


def test_the_model_as_it_comes_is_played_on_the_panel_of_those_that_train(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def convert(_: Any, items: list[Any], workers: int) -> list[Path]:
        assert (items, workers) == ([(tmp_path / "store",)], 1)
        return [tmp_path / "model"]

    monkeypatch.setattr("pipelines.workers.ordered_map", convert)
    command = read(
        ["scale=real", f"execution.artifacts={tmp_path / 'store'}", "training.tasks=3", "warm_start.noise=0.1"]
    )
    runs = [job.config.experiment for job in command.jobs]
    assert [(e.empg.arm, e.seed, e.training.iterations > 0, e.warm_start is not None) for e in runs] == [
        ("off", 0, False, False),
        ("off", 0, True, True), ("off", 1, True, True), ("full", 0, True, True), ("full", 1, True, True),
    ]  # fmt: skip
    assert {(e.model.pretrained, e.model.weights) for e in runs} == {(str(tmp_path / "model"), "pretrained")}
    for shared in ("evaluation", "data", "rollout", "policy"):
        assert len({getattr(e, shared).model_dump_json() for e in runs}) == 1
    assert len({e.benchmark.model_dump_json(exclude={"prompt"}) for e in runs}) == 1
    assert [e.benchmark.prompt.instructions for e in runs] == [True] + [False] * 4
    assert {e.training.tasks for e in runs} == {3}


def test_without_the_package_one_line_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipelines.smollm2 import smollm2

    def absent(name: str) -> NoReturn:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    monkeypatch.setattr(importlib.metadata, "version", absent)
    monkeypatch.setattr("pipelines.workers.ordered_map", lambda function, items, workers: [function(*i) for i in items])
    assert smollm2.__module__
    assert main([f"execution.artifacts={tmp_path}"]) == 2
    said = capsys.readouterr().err
    assert "gguf" in said
    assert "make setup-real" in said
    assert said.count("\n") == 1
