"""From a run to the command that makes it: the same for the same run, and it composes to that run."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from flows.__main__ import main
from flows.configure import compose as compose_module
from flows.configure.choices import choices_of
from flows.configure.compose import compose
from flows.configure.recorded import experiment_of
from flows.configure.remade import remade, with_remade
from flows.configure.spelled import command_of, overrides_of, spelled
from flows.launch.command import read_command
from flows.launch.jobs import with_commands
from pipelines.errors import ConfigError
from pipelines.files import CHECKSUMS, write_checksums, write_json
from pipelines.run_folder import run_folder, write_params
from pipelines.schemas import RUN_JSON
from tests.flows.test_jobs import jobs_of
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


CELL = ["benchmark=webshop", "empg=off", "training.iterations=3"]


def begun(*overrides: str) -> Path:
    """The folder of a run that has not finished, below the working folder."""
    config = compose(overrides)
    folder = run_folder(config)
    folder.mkdir(parents=True)
    write_params(folder, config)
    return folder


def finished(root: Path, *overrides: str) -> Path:
    """The folder of a finished run, below the working folder."""
    (results,) = write_cell(root / "made", " ".join(overrides), [[1, 0]], types=("a", "b"))
    folder = run_folder(compose(overrides))
    shutil.copytree(results, folder / "results")
    return folder


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ALFWORLD_DATA", raising=False)


def test_a_run_is_made_from_its_folder_finished_or_not(tmp_path: Path) -> None:
    folder = finished(tmp_path, *CELL)
    copied = tmp_path / "study" / folder.parent.name / "seed0"
    shutil.copytree(folder / "results", copied)
    made = [remade(named) for named in (folder, folder / "results", copied)]
    assert made == [made[0]] * 3
    (config,) = read_command([f"from={begun(*CELL, 'seed=1')}", "seed=0"]).configs
    assert run_folder(config) == folder == run_folder(compose(made[0]))


def test_where_a_policy_runs_is_not_recorded_and_is_its_scales_own() -> None:
    """Or another, where that is said."""
    asked = ["scale=smoke", "policy=openrlhf"]
    folder, two = begun(*asked), "policy.cluster.gpus_per_node=2"
    values = yaml.safe_load((folder / "params.yaml").read_text())
    assert "cluster" not in values["policy"]
    assert compose(remade(folder)).experiment == experiment_of(values) == compose(asked).experiment
    assert experiment_of(values, [two]) == compose([*asked, two]).experiment != compose(asked).experiment
    with pytest.raises(ConfigError, match="nowhere"):
        experiment_of(values, ["cluster@policy.cluster=nowhere"])


def test_what_is_said_besides_takes_its_place() -> None:
    folder = begun("benchmark=webshop", "algorithm=dapo", "algorithm.clip_high=0.3", "training.iterations=3")
    (config,) = read_command([f"from={folder}", "algorithm=grpo", "training.iterations=4", "seed=2"]).configs
    assert run_folder(config) == run_folder(compose(["benchmark=webshop", "training.iterations=4", "seed=2"]))
    assert with_remade(["seed=1"]) == ["seed=1"]


def test_a_run_on_a_folders_data_is_made_on_these_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the data lie is no value, so that nothing but the folder's name and the command can tell."""
    config = compose(["data=real", "data.root=/data/one", "empg=off"])
    folder = run_folder(config)
    words = shlex.split(command_of(config.experiment))[3:]
    assert run_folder(compose(words)) == folder
    begun("data=real", "data.root=/data/one", "empg=off")
    monkeypatch.setenv("ALFWORLD_DATA", "/data/other")
    for besides in ([], ["seed", "execution.runs"], ["training.iterations"]):
        with pytest.raises(ConfigError, match=rf"{folder.parent.name}.*data\.root="):
            remade(folder, besides)
    (said,) = read_command([f"from={folder}", "data.root=/data/one"]).configs
    assert run_folder(said) == folder
    assert with_remade([f"from={folder}", "data=generated"])[-1] == "data=generated"
    assert not any("data.root" in each for each in with_remade([f"from={folder}", "data=generated"]))
    monkeypatch.setenv("ALFWORLD_DATA", "/data/one")
    assert "data.root='/data/one'" in remade(folder)


def test_runs_on_two_folders_data_have_two_commands() -> None:
    asked = [["data=real", f"data.root=/data/{name}"] for name in ("one", "other")]
    one, other = spelled([(overrides, compose(overrides)) for overrides in asked])
    assert ("/data/one" in one.command, "/data/one" in other.command) == (True, False)
    assert ("/data/other" in one.command, "/data/other" in other.command) == (False, True)


def test_what_is_asked_for_by_options_alone_is_not_composed_for_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """And has the very command that composing would find; cells that set values too share what their options compose to."""
    cells = ("alfworld_1.5b_grpo_off", "webshop_7b_dapo_full", "alfworld_7b_prompting", "alfworld_7b_react")
    jobs = jobs_of(f"+experiment={','.join(f'table1/{cell}' for cell in cells)}", "scale=smoke", "seed=0,1")
    jobs += jobs_of("algorithm=dapo", "empg=off,full", "benchmark=deepsearch")
    expected = [command_of(job.config.experiment) for job in jobs]
    composed: list[object] = []

    def counted(overrides: list[str]) -> dict[str, object]:
        composed.append(overrides)
        return compose_module.composed(overrides)

    monkeypatch.setattr("flows.configure.spelled.composed", counted)
    assert [job.config.command for job in with_commands(jobs)] == expected
    assert len(composed) == 3, "the options of both cells of values, and each with its own"


@pytest.mark.parametrize(
    "more", [["training.iterations=24"], ["policy=local"], ["data=generated"], ["+experiment=table1/alfworld_7b_react"]]
)
def test_what_says_more_than_options_is_told_apart(more: list[str]) -> None:
    assert choices_of(["algorithm=dapo", "seed=1", "tracker=[]", "execution.runs=elsewhere"]) == {
        "scale": "laptop", "benchmark": "alfworld", "model": "qwen2.5_1.5b", "algorithm": "dapo", "empg": "full",
    }  # fmt: skip
    assert choices_of(["algorithm=dapo", *more]) is None


def test_a_run_of_other_defaults_is_not_made_silently() -> None:
    """A value that came with the code since is no value of its own."""
    folder = begun(*CELL)
    old = folder.parent.with_name(f"{folder.parent.name[:-6]}abcdef") / "seed0"
    shutil.copytree(folder, old)
    with pytest.raises(ConfigError, match=f"{old.parent.name}.*{folder.parent.name}"):
        remade(old, ["seed"])
    assert "training.iterations=3" in remade(old, ["training.iterations"])


def test_a_record_that_is_not_what_was_written_makes_no_run(tmp_path: Path) -> None:
    results = finished(tmp_path, *CELL) / "results"
    written = (results / RUN_JSON).read_text()
    edited = json.loads(written)
    edited["config"]["training"]["learning_rate"] = 0.5
    write_json(results / RUN_JSON, edited)
    for besides in ([], ["training.iterations"]):
        with pytest.raises(ConfigError, match=str(results / RUN_JSON)):
            remade(results, besides)
    (results / CHECKSUMS).unlink()
    with pytest.raises(ConfigError, match=CHECKSUMS):
        remade(results)
    edited["config"]["training"]["learning_rate"] = json.loads(written)["config"]["training"]["learning_rate"]
    edited["fingerprint"] = "f" * 64  # stages of another version
    write_json(results / RUN_JSON, edited)
    write_checksums(results)
    with pytest.raises(ConfigError, match="another run"):
        remade(results)


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
