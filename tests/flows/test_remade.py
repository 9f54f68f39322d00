"""From a run to the command that makes it: the same for the same run, and it composes to that run."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from flows.__main__ import main
from flows.configure.compose import compose
from flows.configure.remade import with_remade
from flows.configure.spelled import command_of, overrides_of
from flows.launch.command import read_command
from pipelines.run_folder import run_folder, write_params
from tests.reporting.study import write_cell


@pytest.mark.parametrize(
    "overrides",
    [
        ["seed=3"],
        ["+experiment=controls/alfworld_1.5b_grpo_center_only", "scale=laptop"],
        ["scale=real", "model.pretrained='/a folder/with, marks'", "policy.dtype=bfloat16"],
        ["scale=single", "~warm_start", "+warm_start={tokens:600,batch_tokens:300}", "model.weights=stand_in", "policy=local"],
        ["scale=smoke", "training.adapter=lora", "training.adapter.rank=4", "model.name='größe 1'"],
        ["benchmark=webshop", "data=dozen", "evaluation.games=6", "policy=scripted", "warm_start=null"],
        ["algorithm=gigpo", "empg=aem", "algorithm.name=mine", "credit.state=history"],
    ],
    ids=lambda overrides: overrides[0],
)  # fmt: skip
def test_the_command_makes_that_very_run(overrides: list[str]) -> None:
    experiment = compose(overrides).experiment
    python, dash, flows, *words = shlex.split(command_of(experiment))
    assert [python, dash, flows] == ["python", "-m", "flows"]
    assert compose(words).experiment.values() == experiment.values()


def test_it_is_the_same_however_the_run_was_asked_for() -> None:
    one = compose(["+experiment=table1/alfworld_1.5b_grpo_off", "scale=laptop", "seed=1"])
    other = compose(["seed=1", "empg=off", "training.iterations=24"])
    assert command_of(one.experiment) == command_of(other.experiment)


def test_a_run_is_made_from_its_folder_finished_or_not(tmp_path: Path) -> None:
    (results,) = write_cell(
        tmp_path / "made", "benchmark=webshop empg=off training.iterations=3", [[1, 0]], types=("a", "b")
    )
    asked = compose(["benchmark=webshop", "empg=off", "training.iterations=3"])
    shutil.copytree(results, tmp_path / "run" / "results")
    (begun := tmp_path / "begun").mkdir()
    write_params(begun, asked)
    for folder in (tmp_path / "run", results, begun):
        command = read_command([f"from={folder}"])
        assert run_folder(command.configs[0]) == run_folder(asked)


def test_what_is_said_besides_takes_its_place(tmp_path: Path) -> None:
    write_params(tmp_path, compose(["benchmark=webshop", "algorithm=dapo", "training.iterations=3"]))
    (config,) = read_command([f"from={tmp_path}", "algorithm=grpo", "training.iterations=4", "seed=2"]).configs
    assert run_folder(config) == run_folder(compose(["benchmark=webshop", "training.iterations=4", "seed=2"]))
    assert with_remade(["seed=1"]) == ["seed=1"]


def test_params_begin_with_the_command_and_stay_yaml(tmp_path: Path) -> None:
    config = compose(["empg=off"])
    command = command_of(config.experiment)
    write_params(tmp_path, config.model_copy(update={"command": command}))
    text = (tmp_path / "params.yaml").read_text()
    assert text.splitlines()[0] == f"# {command}"
    assert yaml.safe_load(text) == config.experiment.values()


def test_a_folder_that_is_no_runs_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("runs/cell/seed0", "scale: 3"), ("broken", "a: [")):
        Path(name).mkdir(parents=True)
        Path(name, "params.yaml").write_text(text)
    for said, why in (
        ("from=nowhere", "from=nowhere is no run's folder"),
        ("from=runs/cell", "name one: from=runs/cell/seed0"),
        ("from=runs/cell/seed0", "from=runs/cell/seed0: this version of the code cannot make that run: "),
        ("from=broken", "from=broken cannot be read"),
        ("from=a from=b", "give one"),
    ):
        assert main(said.split()) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert why in line


def test_what_composes_to_another_run_is_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.configure.spelled._differences", lambda *_: iter(()))
    with pytest.raises(ValueError, match="is another run"):
        overrides_of(compose(["training.iterations=3"]).experiment)
