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
from pipelines.reporting.report import collect
from pipelines.run_folder import run_lock
from tests.reporting.results import write_run


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


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
    assert capsys.readouterr().out == "6 folders checked, none damaged\n"


DAMAGE: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "a flipped byte": ("artifacts/rollout/*/steps.parquet", flip),
    "a lost file": ("artifacts/rollout/*/steps.parquet", Path.unlink),
    "a record": ("artifacts/update/*/record.json", flip),
    "a lost record": ("artifacts/rollout/*/record.json", Path.unlink),
    "a run's results": ("runs/cell/seed3/results/metrics.parquet", flip),
    "lost checksums": ("runs/cell/seed3/results/SHA256SUMS", Path.unlink),
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
    assert verify.main([]) == 0
    assert path.exists() == (path.is_relative_to(tmp_path / "results") or path.is_relative_to(tmp_path / "archive"))


def test_what_cannot_be_mended_here_is_said(
    rollout: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a clone there are results of studies alone."""
    shutil.rmtree(tmp_path / "runs")
    shutil.rmtree(tmp_path / "artifacts")
    flip(tmp_path / "results" / "grid" / "cell" / "seed3" / "metrics.parquet")
    assert verify.main(["--repair"]) == 1
    assert "git checkout" in capsys.readouterr().out


def test_a_run_that_is_executed_is_left_alone(rollout: Artifact, tmp_path: Path) -> None:
    flip(tmp_path / "runs" / "cell" / "seed3" / "results" / "metrics.parquet")
    with run_lock(tmp_path / "runs" / "cell" / "seed3"):
        assert verify.main(["--repair"]) == 0
    assert verify.main([]) == 1


def test_an_unknown_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.main(["--mend"]) == 2
    assert "--mend" in capsys.readouterr().err
