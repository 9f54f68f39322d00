"""The translation cache is only a cache: what is damaged is made anew, what cannot be written is not kept."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import random
from pathlib import Path

import pytest

from pipelines.environments.alfworld import translation
from pipelines.environments.alfworld.translation import Translation, translate

MADE = Translation(
    sas=b"begin_version\n3\nend_version\n" * 8,
    types=(("object", ()), ("desk", ("object",))),
    name_to_type={"desk 1": "desk", "mug 1": "object"},
    parameters={"put": (("o", "object"), ("r", "desk"))},
    initial_facts=(("at", ("mug 1", "desk 1")),),
)


@pytest.fixture
def translated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The problems that were really translated."""
    problems: list[str] = []

    def make(domain: str, problem: str) -> Translation:
        problems.append(problem)
        return MADE

    monkeypatch.setattr(translation, "_translate", make)
    return problems


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_problem_is_translated_once(tmp_path: Path, translated: list[str]) -> None:
    assert [translate("d", problem, tmp_path) for problem in ("p", "p", "q", "p")] == [MADE] * 4
    assert translated == ["p", "q"]
    assert len(files(tmp_path)) == 2


def test_a_flipped_bit_is_noticed_wherever_it_is(
    tmp_path: Path, translated: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    translate("d", "p", tmp_path)
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    for bit in random.Random(0).sample(range(8 * len(whole)), 60):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        translated.clear()
        assert translate("d", "p", tmp_path) == MADE
        assert translated == ["p"]
        assert file.read_bytes() == whole
    (said,) = capsys.readouterr().err.splitlines()
    assert str(file) in said


class Attack:
    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (os.environ["MARK"], "w")


def test_no_code_of_a_cached_file_runs(tmp_path: Path, translated: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may write the folder can make the checksum fit."""
    mark = tmp_path / "code ran"
    monkeypatch.setenv("MARK", str(mark))
    attack = pickle.dumps(Attack())
    translate("d", "p", tmp_path)
    (file,) = files(tmp_path)
    for digest in (hashlib.sha256(attack).digest(), hashlib.sha256(attack).hexdigest().encode() + b"\n"):
        file.with_suffix(".pickle").write_bytes(digest + attack)
        file.write_bytes(digest + attack)
        assert translate("d", "p", tmp_path) == MADE
    assert not mark.exists()


@pytest.mark.parametrize(
    "payload", [b"null", b"{}", b"[]", b'{"sas": 1}', b"\xff", b"[" * 100_000], ids=lambda payload: payload[:12]
)
def test_what_is_no_translation_is_made_anew(tmp_path: Path, translated: list[str], payload: bytes) -> None:
    translate("d", "p", tmp_path)
    (file,) = files(tmp_path)
    file.write_bytes(hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)
    assert translate("d", "p", tmp_path) == MADE


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 100])
def test_a_cut_file_is_made_anew(tmp_path: Path, translated: list[str], length: int) -> None:
    translate("d", "p", tmp_path)
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[:length])
    assert translate("d", "p", tmp_path) == MADE
    assert translated == ["p", "p"]
    assert file.read_bytes() == whole


def test_a_cache_that_cannot_be_made_is_done_without(tmp_path: Path, translated: list[str]) -> None:
    cache = tmp_path / "cache"
    cache.write_text("a file where the folder should be")
    assert translate("d", "p", cache) == translate("d", "p", cache) == MADE
    assert translated == ["p", "p"]


def test_an_unreadable_entry_is_done_without(tmp_path: Path, translated: list[str]) -> None:
    translate("d", "p", tmp_path)
    (file,) = files(tmp_path)
    file.unlink()
    (file / "in the way").mkdir(parents=True)
    assert translate("d", "p", tmp_path) == MADE
    assert translated == ["p", "p"]
    assert files(tmp_path) == []


def test_a_full_disk_leaves_no_half_file(
    tmp_path: Path, translated: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        write(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert translate("d", "p", tmp_path) == MADE
    assert files(tmp_path) == []
    monkeypatch.undo()
    monkeypatch.setattr(translation, "_translate", lambda domain, problem: MADE)
    assert translate("d", "p", tmp_path) == MADE
    assert len(files(tmp_path)) == 1
