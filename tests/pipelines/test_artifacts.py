"""The artifact store: identity, damage, pruning, races. Kills and full disks are in test_artifacts_crash.py."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import permutations
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.artifacts import Artifact, ArtifactStore, Draft, _folder_lock, fingerprint
from pipelines.errors import ArtifactLocked, CorruptArtifact
from pipelines.files import atomic_write_text, read_json, sha256_file, write_json, write_parquet

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
settings_values = st.dictionaries(st.text(), json_values, max_size=4)


def make(draft: Draft) -> None:
    draft.path("model/weights.bin").write_bytes(b"weights" * 100)
    draft.path("model/config.json").write_bytes(b"{}")
    write_json(draft.path("metrics.json"), {"loss": 0.1})


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def artifact(store: ArtifactStore) -> Artifact:
    return store.get_or_make("update", 1, {"lr": 0.1}, {"policy": "abc"}, make)


def again(store: ArtifactStore) -> Artifact:
    """A look-up that must not make anything."""
    return store.get_or_make("update", 1, {"lr": 0.1}, {"policy": "abc"}, lambda _: pytest.fail("made twice"))


class TestFingerprint:
    @given(settings_values)
    def test_order_of_keys_does_not_matter(self, values: dict[str, Any]) -> None:
        backwards = dict(reversed(values.items()))
        assert fingerprint("s", 1, values, {"a": "1", "b": "2"}) == fingerprint("s", 1, backwards, {"b": "2", "a": "1"})

    @given(settings_values, settings_values)
    def test_different_values_differ(self, one: dict[str, Any], other: dict[str, Any]) -> None:
        same = fingerprint("s", 1, one, {}) == fingerprint("s", 1, other, {})
        assert same == (repr(_sorted(one)) == repr(_sorted(other)))

    @given(settings_values)
    def test_survives_the_record(self, values: dict[str, Any]) -> None:
        assert fingerprint("s", 1, values, {}) == fingerprint("s", 1, json.loads(json.dumps(values)), {})

    def test_look_alikes_differ(self) -> None:
        alike = [1, 1.0, True, "1", [1], {"1": 1}, None, "", 0, 0.0, -0.0, False, 0.1, 0.1 + 2**-56]
        assert len({fingerprint("s", 1, {"a": value}, {}) for value in alike}) == len(alike)

    def test_every_part_counts(self) -> None:
        parts = [
            ("s", 1, {}, {}),
            ("t", 1, {}, {}),
            ("s", 2, {}, {}),
            ("s", 1, {"a": "b"}, {}),
            ("s", 1, {}, {"a": "b"}),
        ]
        assert len({fingerprint(*part) for part in parts}) == len(parts)

    def test_golden(self) -> None:
        """Another way to write an identity would orphan every store there is."""
        found = fingerprint("s", 1, {"b": [1, 2.5, True, None, "é"], "a": {}}, {"x": "y"})
        assert found == "f9183aeba1f6fe4f4375cc70924e89296206073c40523a8cabf572ba87ef6c45"

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            (math.nan, "values.a.b = nan"),
            (math.inf, "values.a.b = inf"),
            ({1}, "values.a.b is a set"),
            (Path("x"), "values.a.b is a "),
            (object(), "values.a.b is a object"),
            (b"x", "values.a.b is a bytes"),
            ({1: 2}, "values.a.b has the key 1"),
            ([0, [math.nan]], r"values.a.b\[1\]\[0\] = nan"),
        ],
    )
    def test_refuses_by_name(self, value: object, said: str) -> None:
        with pytest.raises(TypeError, match=said):
            fingerprint("s", 1, {"a": {"b": value}}, {})


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


class TestStore:
    def test_found_once_made(self, store: ArtifactStore, artifact: Artifact) -> None:
        found = again(store)
        assert found.folder == artifact.folder == store.root / "update" / artifact.fingerprint[:20]
        assert sorted(found.files) == ["metrics.json", "model/config.json", "model/weights.bin"]
        assert found.path("model/weights.bin").read_bytes() == b"weights" * 100
        assert found.tree("model") == found.folder / "model"
        assert found.lacks() == []
        assert store.find("update", "0" * 64) is None

    def test_same_content_same_bytes(self, tmp_path: Path, artifact: Artifact) -> None:
        other = again_elsewhere(tmp_path / "other")
        names = [*artifact.files, "record.json"]
        assert [(other.folder / n).read_bytes() for n in names] == [(artifact.folder / n).read_bytes() for n in names]

    def test_a_failing_stage_leaves_nothing(self, store: ArtifactStore) -> None:
        def fail(draft: Draft) -> None:
            make(draft)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            store.get_or_make("update", 1, {"lr": 0.1}, {"policy": "abc"}, fail)
        assert list((store.root / "update").iterdir()) == []

    def test_record_is_the_stores_own_name(self, store: ArtifactStore) -> None:
        with pytest.raises(ValueError, match=r"record\.json is the store's own name"):
            store.get_or_make("s", 1, {}, {}, lambda draft: write_json(draft.path("record.json"), {}))

    def test_leftovers_of_the_dead_are_swept_and_of_the_living_are_not(self, store: ArtifactStore) -> None:
        from filelock import FileLock

        dead, alive = (store.root / "stage" / f".draft-{name}" for name in ("dead", "alive"))
        for draft in (dead, alive):
            draft.mkdir(parents=True)
        (store.root / ".locks").mkdir()
        with FileLock(store.root / ".locks" / "stage-alive"):
            store.get_or_make("update", 1, {}, {}, make)
        assert alive.exists()
        assert not dead.exists()

    def test_a_dead_writers_worker_disturbs_nobody(self, store: ArtifactStore, artifact: Artifact) -> None:
        """A writer was killed; its worker process, busy with one more item, writes it a moment later."""
        left = store.root / "update" / f".draft-{artifact.folder.name}.1"

        def make_meanwhile(draft: Draft) -> None:
            assert not left.exists()
            (left / "model").mkdir(parents=True)
            (left / "model" / "late.bin").write_bytes(b"late")
            assert not (draft.folder / "model").exists()
            make(draft)

        shutil.rmtree(artifact.folder)
        left.mkdir()
        again = store.get_or_make("update", 1, {"lr": 0.1}, {"policy": "abc"}, make_meanwhile)
        assert again.files == artifact.files
        again.verify()

    def test_two_processes_do_the_work_once(self, store: ArtifactStore) -> None:
        store.root.mkdir()
        command = [sys.executable, "-m", "tests.pipelines.store_writer", "once", str(store.root)]
        both = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        for process in both:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in both:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        paths = {process.communicate(timeout=60)[0] for process in both}
        assert len(paths) == 1
        assert [process.returncode for process in both] == [0, 0]
        assert (store.root / "made.log").read_text() == "made\n"


def again_elsewhere(root: Path) -> Artifact:
    return ArtifactStore(root).get_or_make("update", 1, {"lr": 0.1}, {"policy": "abc"}, make)


def made_on(root: Path, machine: dict[str, str]) -> Artifact:
    return ArtifactStore(root, machine=machine).get_or_make("update", 1, {"lr": 0.1}, {"policy": "abc"}, make)


class TestDamage:
    def test_flipped_byte(self, store: ArtifactStore, artifact: Artifact) -> None:
        path = artifact.folder / "model/weights.bin"
        expected = sha256_file(path)
        path.write_bytes(b"W" + path.read_bytes()[1:])
        for read in (
            lambda a: a.path("model/weights.bin"),
            lambda a: a.tree("model"),
            lambda a: a.tree(),
            Artifact.verify,
        ):
            with pytest.raises(CorruptArtifact) as caught:
                read(again(store))
            assert all(
                part in str(caught.value) for part in (str(path), expected, sha256_file(path), "remove the folder")
            )

    def test_verified_once_per_object(self, artifact: Artifact) -> None:
        path = artifact.path("metrics.json")
        path.write_bytes(b"damaged")
        assert artifact.path("metrics.json") == path
        with pytest.raises(CorruptArtifact, match="sha256"):
            artifact.verify()

    @pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(p.read_bytes()[:-1])])
    def test_missing_or_cut_file(self, store: ArtifactStore, artifact: Artifact, damage: Any) -> None:
        damage(artifact.folder / "model/weights.bin")
        assert artifact.lacks() == ["model/weights.bin"]
        with pytest.raises(
            CorruptArtifact, match=r"weights\.bin is damaged: (no such file|699 bytes), expected 700 bytes"
        ):
            again(store)

    def test_every_cut_of_the_record(self, store: ArtifactStore, artifact: Artifact) -> None:
        record = artifact.folder / "record.json"
        whole = record.read_bytes()
        for length in range(len(whole) - 1):  # the last byte is the newline: nothing is lost with it
            record.write_bytes(whole[:length])
            with pytest.raises(CorruptArtifact, match=r"record\.json is damaged"):
                again(store)

    @pytest.mark.parametrize("pruned", [False, True])
    def test_every_flipped_byte_of_the_record(self, pruned: bool, store: ArtifactStore, artifact: Artifact) -> None:
        if pruned:  # then no file shows that its checksum is another
            store.prune(artifact)
        record = artifact.folder / "record.json"
        whole = record.read_bytes()
        for i in range(len(whole)):
            record.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
            try:
                again(store).verify()
            except CorruptArtifact:
                continue
            assert read_json(record) == json.loads(whole), f"byte {i}"  # white space: the record says the same

    def test_every_flipped_byte_of_the_machine_in_a_record(self, store: ArtifactStore) -> None:
        """No fingerprint covers it."""
        kind = {"cpu": "one", "torch": "AVX2"}
        record = made_on(store.root, kind).folder / "record.json"
        whole = record.read_bytes()
        for i in range(at := whole.index(b'"machine"'), whole.index(b"}", at)):
            record.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
            try:
                again(store)
            except CorruptArtifact:
                continue
            assert read_json(record) == json.loads(whole), f"byte {i}"
        record.write_bytes(whole)
        assert again(store).machine == kind, "found by a store that is nowhere in particular"

    def test_record_gone(self, store: ArtifactStore, artifact: Artifact) -> None:
        (artifact.folder / "record.json").unlink()
        with pytest.raises(CorruptArtifact, match=r"has no record\.json; remove the folder"):
            again(store)


class TestPrune:
    def test_the_stage_stays_done(self, store: ArtifactStore, artifact: Artifact) -> None:
        pruned = store.prune(artifact)
        for found in (pruned, again(store)):
            assert found.pruned == {"model/config.json", "model/weights.bin"}
            assert found.files == artifact.files
            assert sorted(found.lacks()) == ["model/config.json", "model/weights.bin"]
            assert not found.is_complete("model/weights.bin")
            assert read_json(found.path("metrics.json")) == {"loss": 0.1}
            found.verify()
            with pytest.raises(CorruptArtifact, match="was pruned"):
                found.tree("model")
        store.prune(again(store))  # twice is once

    def test_killed_between_record_and_deletion(
        self, store: ArtifactStore, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def killed(path: Path, missing_ok: bool = False) -> None:
            if path.name == "weights.bin":
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", killed)
            with pytest.raises(KeyboardInterrupt):
                store.prune(artifact)
        found = again(store)
        assert "model/weights.bin" in found.lacks()  # there, but nobody may count on it
        store.prune(found)
        assert not (artifact.folder / "model/weights.bin").exists()

    def test_what_is_kept_is_made_again_and_stays(self, store: ArtifactStore, artifact: Artifact) -> None:
        whole = (artifact.folder / "record.json").read_bytes()
        kept = store.keep(store.prune(artifact), make)
        assert kept.tree("model").joinpath("weights.bin").read_bytes() == b"weights" * 100
        assert (artifact.folder / "record.json").read_bytes() == whole
        assert store.prune(kept).lacks() == again(store).lacks() == []
        store.keep(kept, lambda _: pytest.fail("made twice"))

    def test_who_prunes_or_looks_up_what_another_removes_is_told_of_nothing(
        self, store: ArtifactStore, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def removed(_: Artifact, name: str) -> bool:
            shutil.rmtree(artifact.folder)
            return False

        monkeypatch.setattr(Artifact, "is_complete", removed)
        assert store.find("update", artifact.fingerprint) is None
        assert store.prune(artifact) is artifact
        assert not artifact.folder.exists()

    def test_other_bytes_are_not_what_was_pruned(self, store: ArtifactStore, artifact: Artifact) -> None:
        def other(draft: Draft) -> None:
            draft.path("model/weights.bin").write_bytes(b"weights" * 99)
            draft.path("model/config.json").write_bytes(b"{}")

        store.prune(artifact)
        with pytest.raises(CorruptArtifact, match=r"model/weights\.bin .*execution\.artifacts"):
            store.keep(artifact, other)
        assert sorted(again(store).lacks()) == ["model/config.json", "model/weights.bin"]
        assert not list(artifact.folder.parent.glob(".draft-*"))


READER = ("enter", "read", "leave")
ORDERS = sorted(set(permutations("aaabbbp")))  # two readers, each with three steps in their order, and who prunes


class ReaderHere:
    def __init__(self, store: ArtifactStore) -> None:
        self._store, self._held = store, ExitStack()

    def enter(self) -> bool:
        """Whether all is there."""
        self._held.enter_context(again(self._store).held())
        return not again(self._store).lacks()

    def read(self) -> int:
        return len(again(self._store).tree("model").joinpath("weights.bin").read_bytes())

    def leave(self) -> None:
        self._held.close()


class ReaderThere:
    """``process``: ``store_writer read``, which does each step when it is told, and answers."""

    def __init__(self, store: ArtifactStore, process: subprocess.Popen[str]) -> None:
        self._store, self._process = store, process

    def enter(self) -> bool:
        return self._tell(f"enter {self._store.root.name}") == "has"

    def read(self) -> int:
        return int(self._tell("read"))

    def leave(self) -> None:
        assert self._tell("leave") == "left"

    def _tell(self, step: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{step}\n")
        return self._process.stdout.readline().strip()


class TestHeld:
    """What a run reads, no other run takes from it."""

    @pytest.mark.parametrize("another_process", [False, True])
    def test_every_order_of_two_readers_and_a_prune(
        self, another_process: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A reader that entered reads all, or saw before that the files were gone; once nobody reads they are gone. One reader is in
        another process, or in this one."""
        monkeypatch.setattr("pipelines.artifacts._PAUSE_S", 0.0005)
        monkeypatch.setattr(os, "fsync", lambda _: None)  # which takes most of the time
        command = [sys.executable, "-m", "tests.pipelines.store_writer", "read", str(tmp_path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
            for order in ORDERS:
                store = ArtifactStore(tmp_path / "".join(order))
                other = ReaderThere(store, process) if another_process else ReaderHere(store)
                self.read_and_prune(store, order, {"a": ReaderHere(store), "b": other})
            process.terminate()

    def read_and_prune(
        self, store: ArtifactStore, order: tuple[str, ...], readers: Mapping[str, ReaderHere | ReaderThere]
    ) -> None:
        store.get_or_make("update", 1, {"lr": 0.1}, {"policy": "abc"}, make)
        steps = {name: iter(READER) for name in readers}
        found: dict[str, bool] = {}
        pruning = Thread(target=lambda: store.prune(again(store)))
        for name in order:
            if name == "p":
                pruning.start()
                pruning.join(0.01 if found else 5)
                continue
            match next(steps[name]):
                case "enter":
                    found[name] = readers[name].enter()
                case "read" if found[name]:
                    assert readers[name].read() == 700
                case "leave":
                    readers[name].leave()
                    del found[name]
        pruning.join(5)
        assert not pruning.is_alive()
        assert len(again(store).lacks()) == 2

    def test_another_process_that_reads_is_waited_for(self, store: ArtifactStore, artifact: Artifact) -> None:
        holding = "import sys; from pathlib import Path; from pipelines.artifacts import Artifact\n"
        holding += "with Artifact('s', 'f', Path(sys.argv[1]), {}).held(): print('held', flush=True); sys.stdin.read()"
        command = [sys.executable, "-c", holding, str(artifact.folder)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "held\n"
            pruning = Thread(target=lambda: store.prune(artifact))
            pruning.start()
            pruning.join(0.1)
            assert pruning.is_alive()
            assert again(store).lacks() == []
            reader.kill()  # a lock goes with its process
            pruning.join(5)
        assert len(again(store).lacks()) == 2

    def test_who_never_lets_go_keeps_it(
        self, store: ArtifactStore, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("pipelines.artifacts._PATIENCE_S", 0.02)
        with artifact.held():
            assert store.prune(artifact) is artifact
        assert again(store).lacks() == []
        with _folder_lock(artifact.folder, exclusive=True), pytest.raises(ArtifactLocked), artifact.held():
            pytest.fail("nothing is held")
        assert len(store.prune(artifact).lacks()) == 2

    def test_an_artifact_that_was_made_anew_while_its_lock_was_waited_for_is_left_alone(
        self, store: ArtifactStore, artifact: Artifact
    ) -> None:
        with artifact.held():
            pruning = Thread(target=lambda: store.prune(artifact))
            pruning.start()
            pruning.join(0.05)
            shutil.rmtree(artifact.folder)
            store.get_or_make("update", 1, {"lr": 0.1}, {"policy": "abc"}, make)
        pruning.join(5)
        assert again(store).lacks() == []


class TestRemove:
    def test_a_prune_during_the_check_is_no_damage(
        self, store: ArtifactStore, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between finding the artifact and reading its files."""
        verify, pruned = Artifact.verify, list[Artifact]()

        def prune_first(found: Artifact) -> None:
            if not pruned:
                pruned.append(store.prune(artifact))
            verify(found)

        monkeypatch.setattr(Artifact, "verify", prune_first)
        assert store.damage(artifact.folder) == ""
        assert pruned

    def test_what_is_whole_is_not_removed(self, store: ArtifactStore, artifact: Artifact) -> None:
        weights = artifact.folder / "model" / "weights.bin"
        assert not store.remove(artifact.folder)
        weights.write_bytes(b"other")
        assert store.damage(artifact.folder)
        weights.write_bytes(b"weights" * 100)  # it was made again meanwhile
        assert not store.remove(artifact.folder)
        weights.write_bytes(b"other")
        assert store.remove(artifact.folder)
        assert not artifact.folder.exists()

    def test_what_another_removed_is_no_damage(self, store: ArtifactStore, artifact: Artifact) -> None:
        shutil.rmtree(artifact.folder)
        assert store.damage(artifact.folder) == ""
        assert not store.remove(artifact.folder)

    def test_who_makes_it_is_not_waited_for_for_ever(
        self, store: ArtifactStore, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("pipelines.artifacts._PATIENCE_S", 0.02)
        (artifact.folder / "metrics.json").unlink()
        with ArtifactStore(store.root)._locked(artifact.folder):
            assert not store.remove(artifact.folder)
        assert store.remove(artifact.folder)


class TestLocks:
    def test_who_keeps_it_holds_up_no_prune(
        self, store: ArtifactStore, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept = store.keep(artifact, make)
        monkeypatch.setattr("pipelines.artifacts._folder_lock", lambda *_, **__: pytest.fail("it would wait"))
        assert store.prune(kept).lacks() == []

    def test_who_keeps_it_while_a_prune_waits_is_heard(self, store: ArtifactStore, artifact: Artifact) -> None:
        with ExitStack() as reader:
            reader.enter_context(artifact.held())
            pruning = Thread(target=lambda: store.prune(artifact))
            pruning.start()
            pruning.join(0.05)
            store.keep(artifact, make)
        pruning.join(5)
        assert again(store).lacks() == []

    def test_locks_that_nobody_holds_are_removed(self, store: ArtifactStore, artifact: Artifact) -> None:
        from filelock import FileLock

        locks = store.root / ".locks"
        assert list(locks.iterdir()) == []
        for name in ("update-dead", "update-alive"):
            (locks / name).touch()
        with FileLock(locks / "update-alive"):
            ArtifactStore(store.root).get_or_make("other", 1, {}, {}, make)
            assert [path.name for path in locks.iterdir()] == ["update-alive"]

    def test_who_was_stopped_while_it_makes_it_is_named(
        self, store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And once it goes on, it is waited for."""
        monkeypatch.setattr("pipelines.file_locks._GLANCE_S", 0.05)
        monkeypatch.setattr("pipelines.file_locks._STOPPED_S", 0.2)
        code = (
            "import os, signal, sys\nfrom pathlib import Path\nfrom pipelines.artifacts import ArtifactStore\n"
            "def make(draft):\n    os.kill(os.getpid(), signal.SIGSTOP)\n    draft.path('one').write_text('1')\n"
            "ArtifactStore(Path(sys.argv[1])).get_or_make('stopped', 1, {}, {}, make)\n"
        )
        with subprocess.Popen([sys.executable, "-c", code, str(store.root)], cwd=Path(__file__).parents[2]) as maker:
            os.waitid(os.P_PID, maker.pid, os.WSTOPPED)
            with pytest.raises(ArtifactLocked, match=rf"process {maker.pid}, which makes .*kill -CONT {maker.pid}"):
                store.get_or_make("stopped", 1, {}, {}, make)
            monkeypatch.setattr("pipelines.file_locks._STOPPED_S", 60.0)
            Thread(target=lambda: (time.sleep(0.3), os.kill(maker.pid, signal.SIGCONT))).start()
            made = store.get_or_make("stopped", 1, {}, {}, lambda _: pytest.fail("it was made already"))
        assert made.path("one").read_text() == "1"

    def test_a_lock_that_was_removed_while_it_was_waited_for_excludes_all_the_same(self, store: ArtifactStore) -> None:
        """Many threads, each with its own look at the file, go in and out at once: one is inside at a time."""
        inside, most = [0], [0]

        def work(_: int) -> None:
            for _ in range(20):
                with store._locked(store.root / "stage" / "one"):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    inside[0] -= 1

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, range(8)))
        assert most == [1]


class TestFiles:
    def test_parquet_bytes_depend_on_content_alone(self, tmp_path: Path) -> None:
        table = pa.table(
            {"a": list(range(5000)), "b": [f"text {i % 7}" for i in range(5000)], "c": [[1.5], None] * 2500}
        )
        chunked = pa.concat_tables([table.slice(0, 1234), table.slice(1234)])
        labelled = table.replace_schema_metadata({"made": "today"})
        for name, one in (("one", table), ("two", chunked), ("three", labelled)):
            write_parquet(tmp_path / name, one)
        assert len({sha256_file(tmp_path / name) for name in ("one", "two", "three")}) == 1
        write_parquet(tmp_path / "empty", table.slice(0, 0))

    def test_json_is_sorted_and_refuses_nan(self, tmp_path: Path) -> None:
        write_json(tmp_path / "a", {"b": 0.1, "a": "é"})
        assert (tmp_path / "a").read_bytes() == '{\n "a": "é",\n "b": 0.1\n}\n'.encode()
        with pytest.raises(ValueError, match="Out of range float"):
            write_json(tmp_path / "a", {"b": math.nan})
        assert read_json(tmp_path / "a") == {"b": 0.1, "a": "é"}

    def test_atomic_write_keeps_the_old_text_when_it_fails(self, tmp_path: Path) -> None:
        atomic_write_text(tmp_path / "a", "old")
        with pytest.raises(UnicodeEncodeError):
            atomic_write_text(tmp_path / "a", "\ud800")
        assert (tmp_path / "a").read_text() == "old"
        assert [path.name for path in tmp_path.iterdir()] == ["a"]
