"""``make real``: which runs it launches, and what it says where its package is missing."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from flows.real import main, publish_study, read
from pipelines.config import RunConfig
from pipelines.run_folder import run_folder
from tests.pipelines.runs import small_config
from tests.reporting.results import write_run

REPOSITORY = Path(__file__).parents[2]


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


@pytest.mark.parametrize(("overrides", "study"), [([], "real"), (["training.iterations=2"], "real-tried")])
def test_what_other_settings_give_stands_apart(
    overrides: list[str], study: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The study in git is of the settings in git."""
    published = list[str]()
    monkeypatch.setattr("flows.real.read", lambda _: SimpleNamespace(shows=(), jobs=()))
    monkeypatch.setattr("flows.real.launch", lambda _: 0)
    monkeypatch.setattr("flows.windows.ending.show_end", lambda *_: None)

    def publish(configs: list[RunConfig], name: str) -> Path:
        published.append(name)
        return tmp_path

    monkeypatch.setattr("flows.real.publish_study", publish)
    assert main(overrides) == 0
    assert published == [study]


def test_a_study_is_made_by_dvc_where_it_is_dvcs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And elsewhere here: the folders of before are replaced."""
    monkeypatch.chdir(tmp_path)
    config = small_config(tmp_path)
    write_run(run_folder(config) / "results", "grpo", "off", 0, {0: [0, 0, 0, 1], 2: [1, 0, 1, 1]})
    (tmp_path / "results" / "real-tried" / "old").mkdir(parents=True)
    assert publish_study([config], "real-tried") == Path("reports/real-tried")
    assert [path.name for path in Path("results/real-tried").glob("*/*")] == ["seed0"]
    assert Path("reports/real-tried/report.html").is_file()

    made = list[tuple[int, str]]()
    (tmp_path / ".dvc").mkdir()
    shutil.copyfile(REPOSITORY / "dvc.yaml", tmp_path / "dvc.yaml")
    monkeypatch.setattr("flows.publish.publish", lambda configs, study: made.append((len(configs), study)))
    publish_study([config], "real")
    assert made == [(1, "real")]


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
