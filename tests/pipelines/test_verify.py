"""Everything that runs left is checked against its checksums; what can be mended here is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows import verify
from pipelines.archive import archive_run
from pipelines.artifacts import Artifact, ArtifactStore, Draft
from pipelines.files import sealed, sha256_file, write_checksums
from pipelines.reporting.report import collect
from pipelines.run_folder import run_lock
from tests.reporting.results import write_run


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def counted(capsys: pytest.CaptureFixture[str]) -> dict[str, int]:
    """The last line of what was said."""
    line = capsys.readouterr().out.splitlines()[-1].replace("folders ", "")
    return {name: int(number) for number, name in (part.split(" ", 1) for part in line.split(", "))}


def digests(folder: Path) -> dict[str, str]:
    return {str(path): sha256_file(path) for path in folder.rglob("*") if path.is_file()}


def make(stage: str, store: ArtifactStore, inputs: dict[str, str], *names: str) -> Artifact:
    def write(draft: Draft) -> None:
        for name in names:
            draft.path(name).write_bytes(f"{stage} {name}".encode() * 50)

    return store.get_or_make(stage, 1, {"iteration": 0}, inputs, write)


@pytest.fixture
def rollout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifact:
    """In the working folder: a store, a finished run of one iteration, its results collected and archived."""
    monkeypatch.chdir(tmp_path)
    store = ArtifactStore(tmp_path / "artifacts")
    rollout = make("rollout", store, {}, "steps.parquet", "trajectories.parquet", "metrics.json")
    update = make("update", store, {"rollout": rollout.fingerprint}, "model/model.safetensors", "metrics.json")
    run = tmp_path / "runs" / "cell" / "seed3"
    checkpoint = update.folder.relative_to(store.root).as_posix()
    write_run(run / "results", "grpo", "full", 3, {0: [0, 1]}, said={"columns": [], "checkpoint": checkpoint})
    collect([run], tmp_path / "results" / "grid")
    archive_run(run, store.root, tmp_path / "archive" / "grid" / "cell" / "seed3")
    store.prune(make("update", store, {"rollout": "another"}, "model/model.safetensors", "metrics.json"))
    return rollout


def test_what_is_whole_is_whole(rollout: Artifact, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.main([]) == 0
    assert counted(capsys) == {"whole": 6, "damaged": 0, "not known": 0}


DAMAGE: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "a flipped byte": ("artifacts/rollout/*/steps.parquet", flip),
    "a lost file": ("artifacts/rollout/*/steps.parquet", Path.unlink),
    "a record": ("artifacts/update/*/record.json", flip),
    "a lost record": ("artifacts/rollout/*/record.json", Path.unlink),
    "a study's results": ("results/grid/cell/seed3/metrics.parquet", flip),
    "an archive": ("archive/grid/cell/seed3/checkpoint/model.safetensors", flip),
    "a lost file of an archive": ("archive/grid/cell/seed3/rollouts/iteration0000/steps.parquet", Path.unlink),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_is_damaged_is_named_and_mended(
    kind: str, rollout: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pattern, damage = DAMAGE[kind]
    path = next(tmp_path.glob(pattern))
    damage(path)
    assert verify.main([]) == 1
    line, *_ = capsys.readouterr().out.splitlines()
    assert str(path.relative_to(tmp_path).parent.parts[0]) in line
    assert verify.main(["--repair"]) == 0
    assert counted(capsys) == {"whole": 5, "mended": 1, "damaged": 0, "not known": 0}
    assert verify.main([]) == 0
    assert path.exists() == (path.is_relative_to(tmp_path / "results") or path.is_relative_to(tmp_path / "archive"))


def test_entries_of_caches_are_checked_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that is whole in a benchmark's cache is counted as one."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "artifacts" / "cache" / "alfworld" / "ab" / "abcd.json"
    path.parent.mkdir(parents=True)
    for at in (path, path.with_name("abce.json")):
        at.write_bytes(sealed({"sas": "begin_version"}))
    assert verify.main([]) == 0
    assert counted(capsys) == {"whole": 1, "damaged": 0, "not known": 0}
    flip(path)
    assert verify.main([]) == 1
    assert "cache/alfworld/ab/abcd.json: its checksum differs: removed, " in capsys.readouterr().out
    assert verify.main(["--repair"]) == 0
    assert counted(capsys) == {"whole": 1, "mended": 1, "damaged": 0, "not known": 0}
    assert [at.name for at in path.parent.iterdir()] == ["abce.json"]


def test_what_cannot_be_mended_here_is_said(
    rollout: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a clone there are results of studies alone."""
    shutil.rmtree(tmp_path / "runs")
    shutil.rmtree(tmp_path / "artifacts")
    flip(tmp_path / "results" / "grid" / "cell" / "seed3" / "metrics.parquet")
    assert verify.main(["--repair"]) == 1
    assert "git checkout" in capsys.readouterr().out


DAMAGED_RESULTS: dict[str, Callable[[Path], Any]] = {
    "a flipped byte": lambda results: flip(results / "metrics.parquet"),
    "lost checksums": lambda results: (results / "SHA256SUMS").unlink(),
    "a stray file": lambda results: (results / "notes.txt").write_text("mine"),
}


@pytest.mark.parametrize("kind", DAMAGED_RESULTS)
def test_damaged_results_of_a_run_are_left_to_its_launch(kind: str, rollout: Artifact, tmp_path: Path) -> None:
    results = tmp_path / "runs" / "cell" / "seed3" / "results"
    DAMAGED_RESULTS[kind](results)
    before = digests(results)
    assert verify.main(["--repair"]) == 1
    assert digests(results) == before


def test_a_study_of_credit_is_checked_too(
    rollout: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = tmp_path / "results" / "credit" / "alfworld"
    scores.mkdir(parents=True)
    (scores / "scores.parquet").write_bytes(b"scores")
    write_checksums(scores)
    assert verify.main([]) == 0
    assert counted(capsys)["whole"] == 7
    flip(scores / "scores.parquet")
    assert verify.main(["--repair"]) == 1
    assert "results/credit/alfworld" in capsys.readouterr().out


def test_a_run_that_is_executed_is_not_known(
    rollout: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(tmp_path / "runs" / "cell" / "seed3" / "results" / "metrics.parquet")
    with run_lock(tmp_path / "runs" / "cell" / "seed3"):
        assert verify.main(["--repair"]) == 0
        assert counted(capsys) == {"whole": 5, "damaged": 0, "not known": 1}
    assert verify.main([]) == 1


def test_an_archive_without_checksums_is_not_known_and_left_alone(
    rollout: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "archive" / "grid" / "cell" / "seed3"
    (archive / "SHA256SUMS").unlink()
    (archive / "checkpoint" / "model.safetensors").write_text("of a run that is not here")
    before = digests(archive)
    assert verify.main(["--repair"]) == 0
    assert counted(capsys) == {"whole": 5, "damaged": 0, "not known": 1}
    assert digests(archive) == before


@pytest.mark.parametrize("damaged", [False, True])
def test_a_run_of_the_same_name_is_not_taken_for_the_source(damaged: bool, rollout: Artifact, tmp_path: Path) -> None:
    """Names leave out packages and machines: of another one, a run has other numbers."""
    collected, archive = (tmp_path / folder / "grid" / "cell" / "seed3" for folder in ("results", "archive"))
    store, run = ArtifactStore(tmp_path / "artifacts", {"torch": "other"}), tmp_path / "runs" / "cell" / "seed3"
    update = make(
        "update", store, {"rollout": rollout.fingerprint}, "model/model.safetensors", "model/more", "metrics.json"
    )
    shutil.rmtree(run / "results")
    said = {"columns": [], "checkpoint": update.folder.relative_to(store.root).as_posix()}
    write_run(run / "results", "grpo", "full", 3, {0: [1, 1]}, said=said)
    if damaged:
        flip(collected / "metrics.parquet")
        flip(archive / "checkpoint" / "model.safetensors")
    before = digests(collected) | digests(archive)
    assert verify.main(["--repair"]) == int(damaged)
    assert digests(collected) | digests(archive) == before


def test_what_is_no_artifact_is_never_touched(
    rollout: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The store may be named to be any folder, as the working folder."""
    theirs = [".git/objects/ab", ".git/" + "a" * 20, "lib/" + "b" * 20, "rollout/mine", "rollout/" + "C" * 20]
    for name in theirs:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text("theirs")
    before = digests(tmp_path)
    assert verify.main(["--repair", "execution.artifacts=."]) == 0
    assert counted(capsys) == {"whole": 3, "damaged": 0, "not known": 2}
    assert digests(tmp_path).keys() >= before.keys()
    (tmp_path / "rollout" / ("d" * 20)).mkdir()
    assert verify.main(["--repair", "execution.artifacts=."]) == 0
    assert not (tmp_path / "rollout" / ("d" * 20)).exists()
    assert digests(tmp_path).keys() >= before.keys()


def test_an_artifact_that_is_held_is_not_said_to_be_mended(
    rollout: Artifact, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.artifacts._PATIENCE_S", 0.02)
    flip(rollout.folder / "steps.parquet")
    with rollout.held():
        assert verify.main(["--repair"]) == 1
        assert counted(capsys) == {"whole": 5, "damaged": 1, "not known": 0}
    assert rollout.folder.exists()


def test_an_unknown_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.main(["--mend"]) == 2
    assert "--mend" in capsys.readouterr().err
