"""``make study``: registered before its first run, refused when changed afterwards, gone on with, looked at once."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from flows.launch.command import Command
from flows.launch.jobs import Job, in_blocks
from flows.study.__main__ import main
from flows.study.plan import Plan, plan_of
from flows.study.register import register
from pipelines.errors import ConfigError, DataError
from pipelines.reporting.study.results import read_registered, write_registered
from pipelines.run_folder import is_finished
from pipelines.versions import STAGES
from tests.reporting.registered import SMALL, TASKS, write_finished, written

MACHINE = {"cpu": "one", "vectors": "avx2"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a registration, on a machine of a known kind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flows.study.register.kind_of_machine", lambda **_: MACHINE)
    written(tmp_path / "small.yaml")
    return tmp_path


def plan() -> Plan:
    """Composing is slow, and of one file once enough: a plan's folders are relative."""
    return _plan(Path("small.yaml").read_bytes())


@cache
def _plan(_: bytes) -> Plan:
    return plan_of(Path("small.yaml"), 1, [])


def begin(of: Plan) -> None:
    """Its first run."""
    of.jobs[0].folder.mkdir(parents=True)
    (of.jobs[0].folder / "run.log").write_text("process 1 begins\n")


def finish(job: Job, **said: Any) -> None:
    """EMPG solves every task but those that off does not either."""
    full = job.config.experiment.empg.arm == "full"
    write_finished(job.folder, job.config.experiment, MACHINE, [full or n % 2 == 0 for n in range(TASKS)], **said)


def test_it_is_registered_launched_gone_on_with_and_judged(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a launch that ends after three runs, and another: the registration stands before the first, the verdict after the last."""
    launched: list[list[Path]] = []

    def launch(command: Command, order: Callable[[Iterable[Job]], list[Job]]) -> int:
        assert read_registered(here / "results/study/small-1h").runs
        todo = order(job for job in command.jobs if not is_finished(job.config))
        for job in todo[:3] if not launched else todo:
            finish(job)
        launched.append([job.folder for job in todo])
        return int(len(launched) == 1)

    monkeypatch.setattr("flows.study.__main__.launch", launch)
    asked = ["hours=1", "registration=small.yaml", "execution.progress=false"]
    assert main(asked) == 1
    said = capsys.readouterr()
    assert "3 warm starts × 2 seeds × 2 arms: 12 runs" in said.out
    assert "no verdict: 9 of 12 runs are missing" in said.err
    assert not (here / "reports").exists()
    assert main(asked) == 0
    assert sorted(launched[1]) == sorted(launched[0][3:]), "nothing is run twice"
    assert "full − off is +50.0 points" in capsys.readouterr().out
    assert {file.name for file in (here / "reports/study/small-1h").iterdir()} == {
        "verdict.md", "verdict.csv", "verdict.html",
    }  # fmt: skip


def test_a_study_that_is_over_shows_its_verdict_wherever_it_is_asked_for(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a clone: without its runs, on another machine, by code whose stages compute something else."""

    def launch(command: Command, order: Callable[[Iterable[Job]], list[Job]]) -> int:
        for job in command.jobs:
            finish(job)
        return 0

    monkeypatch.setattr("flows.study.__main__.launch", launch)
    asked = ["hours=1", "registration=small.yaml", "execution.progress=false"]
    assert main(asked) == 0
    verdict = (here / "reports/study/small-1h/verdict.md").read_bytes()
    for folder in ("runs", "reports"):
        shutil.rmtree(here / folder)
    monkeypatch.setattr("flows.study.register.kind_of_machine", lambda **_: {"cpu": "another"})
    monkeypatch.setitem(STAGES, "rollout", 99)
    monkeypatch.setattr("flows.study.__main__.launch", lambda *_: pytest.fail("launched"))
    capsys.readouterr()
    assert main(asked) == 0
    assert "small-1h has its verdict: registered " in capsys.readouterr().out
    assert (here / "reports/study/small-1h/verdict.md").read_bytes() == verdict
    written(here / "small.yaml", question="Does it harm?")
    assert main(asked) == 2
    assert "was changed after it was registered" in capsys.readouterr().err


def test_what_is_registered_stays(here: Path) -> None:
    """Also where nothing shows of its runs: whoever removed them has seen them."""
    folder, first = here / "results/study/small-1h", register(plan(), here / "results/study/small-1h")
    assert register(plan(), folder) == first
    begin(plan())
    assert register(plan(), folder) == first
    written(here / "small.yaml", question="Does it harm?")
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            register(plan(), folder)
        (line,) = str(caught.value).splitlines()
        assert f"SHA-256 {plan_sha(here)}, registered {first.registration[:12]}" in line
        assert "git checkout -- small.yaml" in line
        shutil.rmtree(here / "runs", ignore_errors=True)
    assert read_registered(folder) == first


def plan_sha(here: Path) -> str:
    return hashlib.sha256((here / "small.yaml").read_bytes()).hexdigest()[:12]


def test_a_registration_that_was_being_replaced_is_there_again(here: Path) -> None:
    """Who writes the tables beside it was killed when the old folder was aside and the new one not in its place."""
    folder, first = here / "results/study/small-1h", register(plan(), here / "results/study/small-1h")
    folder.rename(folder.with_name(".small-1h.before"))
    begin(plan())
    assert register(plan(), folder) == first


def test_what_composes_to_other_runs_is_refused_too(here: Path) -> None:
    folder, of = here / "results/study/small-1h", plan()
    known = register(of, folder)
    begin(of)
    write_registered(folder, of.content, known.model_copy(update={"composed": "0" * 64}))
    with pytest.raises(ConfigError, match="composes to other runs than when it was registered"):
        register(of, folder)


def test_runs_that_are_older_than_the_registration_are_refused(here: Path) -> None:
    begin(plan())
    with pytest.raises(ConfigError, match="1 of the study's 12 runs are older than its registration"):
        register(plan(), here / "results/study/small-1h")
    assert not (here / "results").exists()


@pytest.mark.parametrize("trace", ["results", "params.yaml"])
def test_a_run_without_its_log_is_older_too(here: Path, trace: str) -> None:
    (plan().jobs[0].folder / trace).mkdir(parents=True)
    with pytest.raises(ConfigError, match="1 of the study's 12 runs are older"):
        register(plan(), here / "results/study/small-1h")


def test_nobody_registers_anew_by_another_folder_of_runs(here: Path) -> None:
    """Where the first run, which stands in the registered folder, would not be found."""
    folder, known = here / "results/study/small-1h", register(plan(), here / "results/study/small-1h")
    begin(plan())
    written(here / "small.yaml", question="Does it harm?")
    with pytest.raises(ConfigError, match=r"execution\.runs=elsewhere: .* was registered with its runs in runs"):
        register(plan_of(Path("small.yaml"), 1, ["execution.runs=elsewhere"]), folder)
    assert read_registered(folder) == known


def test_a_launch_under_which_another_registered_has_no_verdict(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before its first run, so that the other one could."""

    def launch(command: Command, order: object) -> int:
        written(here / "small.yaml", question="Does it harm?")
        shutil.rmtree(here / "results/study/small-1h")
        register(plan(), here / "results/study/small-1h")
        for job in command.jobs:
            finish(job)
        return 0

    monkeypatch.setattr("flows.study.__main__.launch", launch)
    assert main(["hours=1", "registration=small.yaml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no verdict: results/study/small-1h was registered anew" in line
    assert not (here / "results/study/small-1h/games.parquet").exists()
    assert not (here / "reports").exists()


def test_another_kind_of_machine_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(plan(), here / "results/study/small-1h")
    monkeypatch.setattr("flows.study.register.kind_of_machine", lambda **_: {**MACHINE, "cpu": "another"})
    with pytest.raises(ConfigError, match=r"another kind of machine \(cpu one, here another\).*never paired"):
        register(plan(), here / "results/study/small-1h")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"machines": [MACHINE, {"cpu": "another"}]}, "another kind of machine"),
        ({"fingerprint": "0" * 64}, "not the run that was registered"),
        ({"panel_size": 7}, "played 7 tasks, registered are 60"),
    ],
)
def test_a_run_that_is_not_as_registered_is_in_no_verdict(here: Path, said: dict[str, Any], why: str) -> None:
    from flows.study.gathered import gathered

    of, folder = plan(), here / "results/study/small-1h"
    register(of, folder)
    for job in of.jobs:
        finish(job)
    bad = of.jobs[3].folder
    shutil.rmtree(bad)
    finish(of.jobs[3], **said)
    with pytest.raises(DataError, match=why) as caught:
        gathered(of, folder)
    assert str(bad) in str(caught.value)


def test_every_run_is_what_its_overrides_compose_to(here: Path) -> None:
    """Seeds are set without composing anew; arms share all that is not theirs."""
    from flows.configure.compose import compose

    of = plan()
    assert [(m.arm, m.warm_start, m.seed) for m in of.members][:5] == [
        ("off", 5, 10), ("full", 5, 10), ("off", 5, 11), ("full", 5, 11), ("off", 6, 12),
    ]  # fmt: skip
    last = of.members[-1].job
    assert compose(last.overrides).experiment == last.config.experiment
    assert {job.config.experiment.evaluation.games for job in of.jobs} == {TASKS}


def test_warm_starts_are_run_one_after_the_other_and_made_ahead(here: Path) -> None:
    """Of two starts of four runs: the first's first, the second's first, which makes it, then the rest of each."""
    of = plan()
    known = {member.job.folder: member.warm_start for member in of.members}
    assert [known[job.folder] for job in in_blocks(of.jobs)] == [5, 6, 5, 5, 5, 7, 6, 6, 6, 7, 7, 7]
    assert {job.folder for job in in_blocks(of.jobs)} == {job.folder for job in of.jobs}
    assert in_blocks([]) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"tasks": 61}, "tasks=61, but the arm off plays 60 tasks 1 times"),
        ({"rollouts": 3}, "rollouts=3 is more than the 2 iterations of the arm full"),
        ({"arms": {**SMALL["arms"], "full": ["empg=full", "training.tasks=3"]}}, "differ in more than EMPG: only controls may"),
        ({"arms": {**SMALL["arms"], "full": ["empg=full", "evaluation.temperature=0.5"]}}, "off and full differ in evaluation"),
        ({"arms": {**SMALL["arms"], "full": ["empg=fulll"]}}, "did you mean full"),
        ({"arms": {**SMALL["arms"], "full": ["empg=off"]}}, "the arms off and full compose to the same runs"),
        (
            {"arms": {**SMALL["arms"], "full": ["empg=full", "training.tasks=3"]}, "others": {"full": "slow"},
             "hours": {1: {**SMALL["hours"][1], "arms": ["off", "full", "slow"]}}},
            "the arm full and its baseline off differ in more than EMPG",
        ),
    ],
)  # fmt: skip
def test_arms_that_cannot_be_compared_are_refused_before_anything_starts(
    here: Path, changed: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    written(here / "small.yaml", **changed)
    assert main(["hours=1", "registration=small.yaml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "small.yaml" in line
    assert said in line
    assert not (here / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hours=3"], "hours=3: the registration has sizes for 1, 2 hours"),
        (["hours=long"], "hours=long: give a whole number"),
        (["seed=3"], "seed=3: unknown key; what is run stands in the registration alone"),
        (["hours=1", "hours=2"], "hours=2: given twice"),
        (
            ["hydra/launcher=slurm"],
            "hydra/launcher=slurm: a study is registered on the kind of machine that launches it",
        ),
        (["hydra/launcher=ray"], "hydra/launcher=ray: a study is registered on the kind of machine that launches it"),
        (["plan=yes"], "plan=yes: give true or false"),
        (["registration=none.yaml"], "none.yaml: No such file or directory"),
    ],
)
def test_a_mistake_is_one_line(here: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    named = [] if any(argument.startswith("registration") for argument in arguments) else ["registration=small.yaml"]
    assert main([*arguments, *named]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_plan_says_what_it_takes_and_starts_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hours=1", "registration=small.yaml", "plan=true"]) == 0
    said = capsys.readouterr().out
    assert "3 warm starts × 2 seeds × 2 arms: 12 runs on webshop, each on 60 held-out tasks" in said
    assert "if differences vary as expected:" in said
    assert [path.name for path in here.iterdir()] == ["small.yaml"]


def test_a_control_that_the_plan_would_not_tell_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weak = {"slow": {**SMALL["controls"]["slow"], "at_least": 1}}
    written(here / "small.yaml", controls=weak)
    assert main(["hours=2", "registration=small.yaml"]) == 2
    assert "less than test.power=0.8: take more warm starts (hours.2.warm_starts)" in capsys.readouterr().err
    assert not (here / "results").exists()


def test_the_registered_runs_are_the_jobs(here: Path) -> None:
    of = plan()
    register(of, here / "results/study/small-1h")
    kept = json.loads((here / "results/study/small-1h/registered.json").read_text())
    assert [run["folder"] for run in kept["runs"]] == ["/".join(job.folder.parts[-2:]) for job in of.jobs]
    assert len({run["fingerprint"] for run in kept["runs"]}) == len(of.jobs)
    assert kept["machine"] == MACHINE
