"""What caches keep is sealed, and a checksum that is remembered is the file's."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from pipelines import files
from pipelines.files import remembered_sha256, replaced_folder, restore_folder, sealed, sha256_file, unsealed


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were really read for their checksum, by what stands for fresh processes."""
    read: list[Path] = []

    def noted(path: Path) -> str:
        read.append(path)
        return sha256_file(path)

    monkeypatch.setattr(files, "sha256_file", noted)
    return read


def remembered(path: Path, memo: Path) -> str:
    files._remembered.cache_clear()
    return remembered_sha256(path, memo)


def test_a_flipped_bit_of_what_is_remembered_is_noticed(
    tmp_path: Path, reads: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    large, memo = tmp_path / "large", tmp_path / "memo"
    large.write_bytes(b"content")
    true = remembered(large, memo)
    assert remembered(large, memo) == true
    assert len(reads) == 1
    (note,) = memo.iterdir()
    whole = note.read_bytes()
    for bit in random.Random(0).sample(range(8 * len(whole)), 60):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        note.write_bytes(damaged)
        assert remembered(large, memo) == true
        assert note.read_bytes() == whole
    assert len(reads) == 61
    (said,) = capsys.readouterr().err.splitlines()
    assert str(note) in said


def test_a_note_is_of_its_own_file_and_time(tmp_path: Path) -> None:
    first, second, memo = tmp_path / "first", tmp_path / "second", tmp_path / "memo"
    for path, content in ((first, b"one"), (second, b"two")):
        path.write_bytes(content)
        os.utime(path, (1, 1))
        assert remembered(path, memo) == sha256_file(path)
    a, b = memo.iterdir()
    content = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(content)
    for path in (first, second):
        assert remembered(path, memo) == sha256_file(path)


@pytest.mark.parametrize("content", [b"", b"\n", b"{}", sealed({})[:-1], sealed({}) + b" ", b"\xff\xfe"])
def test_what_was_not_sealed_is_refused(content: bytes) -> None:
    assert unsealed(sealed({"a": [1.5, None, "ü"]})) == {"a": [1.5, None, "ü"]}
    with pytest.raises(ValueError, match=r"checksum|JSON"):
        unsealed(content)


@pytest.mark.parametrize("moved", ["folder", ".folder.draft"])
def test_a_folder_is_whole_wherever_its_replacement_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: str
) -> None:
    """Before either of the two renames."""
    folder, rename = _with(tmp_path / "folder", "old"), Path.rename

    def interrupted(path: Path, target: Path) -> Path:
        if path.name == moved:
            monkeypatch.undo()
            raise KeyboardInterrupt
        return rename(path, target)

    def replace() -> None:
        with replaced_folder(folder) as draft:
            (draft / "new").touch()
            monkeypatch.setattr(Path, "rename", interrupted)

    with pytest.raises(KeyboardInterrupt):
        replace()
    assert _below(tmp_path) == ["folder", "folder/old"]
    with replaced_folder(folder) as draft:
        (draft / "new").touch()
    assert _below(tmp_path) == ["folder", "folder/new"]


def test_what_a_killed_replacement_left_aside_is_put_back(tmp_path: Path) -> None:
    _with(tmp_path / ".folder.before", "old")
    restore_folder(tmp_path / "folder")
    assert _below(tmp_path) == ["folder", "folder/old"]
    restore_folder(tmp_path / "folder")
    assert _below(tmp_path) == ["folder", "folder/old"]


def test_what_a_replacement_killed_at_its_very_end_left_is_in_nobodys_way(tmp_path: Path) -> None:
    folder = _with(tmp_path / "folder", "old")
    _with(tmp_path / ".folder.before", "older")
    with replaced_folder(folder) as draft:
        (draft / "new").touch()
    assert _below(tmp_path) == ["folder", "folder/new"]


def _with(folder: Path, file: str) -> Path:
    folder.mkdir()
    (folder / file).touch()
    return folder


def _below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
