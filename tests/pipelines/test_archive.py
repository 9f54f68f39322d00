"""Archiving a finished run: all of its iterations, whole or not at all."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.archive import archive_run
from pipelines.artifacts import Artifact, ArtifactStore, Draft
from pipelines.config.views import PretrainedView
from pipelines.errors import DataError
from pipelines.files import CHECKSUMS, damaged_file, write_json
from pipelines.stages import stored
from pipelines.stages.session import Session
from tests.pipelines.run_records import record_values


class Finished:
    """A run of three updates, made by the store itself."""

    def __init__(self, root: Path) -> None:
        self.run, self.out, self.store = (
            root / "run",
            root / "archive" / "cell" / "seed0",
            ArtifactStore(root / "store", {}),
        )
        policy = self._make("warm_start", {}, {}, ("model/config.json",))
        self.updates: list[Artifact] = []
        for i in range(3):
            rollout = self._make("rollout", {"at": i}, {}, ("steps.parquet", "trajectories.parquet"))
            inputs = {"policy": policy.fingerprint, "rollout": rollout.fingerprint}
            policy = self._make(
                "update", {"iteration": i}, inputs, ("model/config.json", "model/weights", "metrics.json")
            )
            self.updates.append(policy)
        (self.run / "results").mkdir(parents=True)
        checkpoint = policy.folder.relative_to(self.store.root).as_posix()
        write_json(self.run / "results" / "run.json", record_values(checkpoint=checkpoint))

    def _make(self, stage: str, values: dict[str, Any], inputs: dict[str, str], files: tuple[str, ...]) -> Artifact:
        def make(draft: Draft) -> None:
            for name in files:
                draft.path(name).parent.mkdir(parents=True, exist_ok=True)
                draft.path(name).write_text(f"{stage} {values} {name}")

        return self.store.get_or_make(stage, 1, values, inputs, make)

    def models(self) -> tuple[Artifact, Artifact]:
        """A stand-in, and a model from elsewhere by the stage itself."""
        stand_in = self._make("model", {"stand_in": {"layers": 1}}, {"train": "0" * 64}, ("model/config.json",))
        (owners := self.run.parent / "owners").mkdir(exist_ok=True)
        (owners / "config.json").write_text("the owner's")
        pretrained = stored.pretrained(Session(self.store, 1), PretrainedView(folder=owners, template=None))
        return stand_in, pretrained

    def trains_an_adapter_of(self, reference: str) -> None:
        """One update, and the run ends with it."""
        rollout = self._make("rollout", {"at": 9}, {}, ("steps.parquet", "trajectories.parquet"))
        inputs = {"policy": reference, "rollout": rollout.fingerprint, "reference": reference}
        last = self._make("update", {"iteration": 0}, inputs, ("adapter/adapter_config.json",))
        checkpoint = last.folder.relative_to(self.store.root).as_posix()
        write_json(self.run / "results" / "run.json", record_values(checkpoint=checkpoint))

    def archive(self) -> dict[str, str]:
        archive_run(self.run, self.store.root, self.out)
        return self.archived()

    def archived(self) -> dict[str, str]:
        return {
            path.relative_to(self.out).as_posix(): path.read_text()
            for path in self.out.rglob("*")
            if path.is_file() and path.name != CHECKSUMS
        }

    def refusal(self) -> str:
        with pytest.raises(DataError) as caught:
            self.archive()
        said = str(caught.value)
        assert said.startswith(f"run {self.run} cannot be archived (")
        assert said.endswith(f"): remove {self.run / 'results'} and launch it again, what is lost is made anew")
        return said


@pytest.fixture
def finished(tmp_path: Path) -> Finished:
    return Finished(tmp_path)


def test_every_iteration_and_the_last_checkpoint(finished: Finished) -> None:
    archived = finished.archive()
    rollouts = [f"rollouts/iteration000{i}/{name}.parquet" for i in range(3) for name in ("steps", "trajectories")]
    assert archived.keys() == {*rollouts, "checkpoint/config.json", "checkpoint/weights"}
    assert archived["rollouts/iteration0001/steps.parquet"] == "rollout {'at': 1} steps.parquet"
    assert archived["checkpoint/weights"] == "update {'iteration': 2} model/weights"
    assert damaged_file(finished.out) is None


def test_what_is_archived_is_left_alone_and_what_differs_is_made_again(finished: Finished) -> None:
    whole = finished.archive()
    before = finished.out.stat().st_ino
    finished.archive()
    assert finished.out.stat().st_ino == before
    (finished.out / "checkpoint" / "weights").write_text("others")
    (finished.out / "left_over").write_text("of another run")
    assert finished.archive() == whole


def test_writing_into_the_archive_leaves_the_store_as_it_is(finished: Finished) -> None:
    finished.archive()
    (finished.out / "checkpoint" / "weights").write_text("mine")
    finished.updates[2].verify()


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_update_is_no_start_of_rl(finished: Finished, lost: int) -> None:
    """Before, the iterations up to it were left out, and nobody was told. What was archived stays."""
    whole = finished.archive()
    (finished.out / "left_over").write_text("so that there is something to do")
    shutil.rmtree(finished.updates[lost].folder)
    assert str(finished.updates[lost].folder) in finished.refusal()
    assert finished.archived() == whole | {"left_over": "so that there is something to do"}
    assert [path.name for path in finished.out.parent.iterdir()] == ["seed0"]


def test_a_lost_and_a_damaged_file_are_named(finished: Finished) -> None:
    weights = finished.updates[2].folder / "model" / "weights"
    weights.write_text("update {'iteration': 2} model/weightz")
    assert f"({weights} is damaged, remove its folder {finished.updates[2].folder} too)" in finished.refusal()
    weights.unlink()
    assert str(weights) in finished.refusal()
    assert not finished.out.exists()


def test_a_run_that_trained_nothing(finished: Finished) -> None:
    """Of the warm start there is a checkpoint; a model from elsewhere, whose files are links, is left to its owner."""
    stand_in, pretrained = finished.models()
    for played, kept in ((stand_in, {"checkpoint/config.json"}), (pretrained, set())):
        checkpoint = played.folder.relative_to(finished.store.root).as_posix()
        write_json(finished.run / "results" / "run.json", record_values(checkpoint=checkpoint))
        assert finished.archive().keys() == kept


def test_an_adapters_base_is_there_or_its_owners(finished: Finished) -> None:
    """A lost warm start, without which nobody could use the adapter, is said; before, it was left out."""
    warm = finished._make("warm_start", {"of": "the adapter"}, {}, ("model/config.json",))
    stand_in, pretrained = finished.models()
    rollouts = {f"rollouts/iteration0000/{name}.parquet" for name in ("steps", "trajectories")}
    whole = {*rollouts, "checkpoint/adapter_config.json", "base/config.json"}
    for base, kept in ((stand_in, whole), (pretrained, whole - {"base/config.json"}), (warm, whole)):
        finished.trains_an_adapter_of(base.fingerprint)
        assert finished.archive().keys() == kept
    shutil.rmtree(warm.folder)
    assert warm.fingerprint[:20] in finished.refusal()


def test_an_archive_that_cannot_be_written_is_no_fault_of_the_run(finished: Finished) -> None:
    finished.out.parent.parent.mkdir()
    finished.out.parent.write_text("a file, where a folder would be")
    with pytest.raises(DataError, match=rf"^{finished.out} cannot be written \(.*{finished.out.parent}") as caught:
        finished.archive()
    assert "remove" not in str(caught.value)


def test_a_run_without_results_is_not_archived(finished: Finished) -> None:
    (finished.run / "results" / "run.json").unlink()
    assert "run.json" in finished.refusal()


def test_a_full_disk_is_no_fault_of_the_run(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        finished.archive()
