"""Files with the same bytes for the same content, and writes that are whole or not there at all."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})  # also: quota, file-size limit
CHECKSUMS = "SHA256SUMS"
_BLOCK = 1 << 20


def sha256_file(path: Path) -> str:
    """Checksum (hex) of a file's content. Raises OSError when it cannot be read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def file_bytes(path: Path) -> int | None:
    """The size of a file; None: there is none. In one question, for another process may remove it between two."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def remembered_sha256(path: Path, memo: Path) -> str:
    """``sha256_file`` of a large file, remembered by this process and in the folder ``memo`` for as long as the file's size
    and time of change stay. Raises OSError."""
    found = path.stat()
    return _remembered(path.absolute(), found.st_size, found.st_mtime_ns, memo)


@cache
def _remembered(path: Path, size: int, changed: int, memo: Path) -> str:
    note = memo / f"{hashlib.sha256(str(path).encode()).hexdigest()[:32]}.json"
    stamp = {"path": str(path), "size": size, "changed": changed}
    try:
        known = unsealed(note.read_bytes())
        if known["stamp"] == stamp:
            return str(known["sha256"])
    except OSError:
        pass
    except (ValueError, KeyError, TypeError):
        warn_damaged(note, "what it remembers is computed again")
    digest = sha256_file(path)
    with suppress(OSError):  # only a memory
        memo.mkdir(parents=True, exist_ok=True)
        atomic_write_text(note, sealed({"stamp": stamp, "sha256": digest}).decode())
    return digest


def sealed(value: Any) -> bytes:
    """The value as JSON after a line with its checksum, for ``unsealed``: what a cache keeps."""
    payload = json_text(value).encode()
    return hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload


def unsealed(content: bytes) -> Any:
    """What ``sealed`` was given. Raises ValueError: a byte is not as it was written."""
    digest, _, payload = content.partition(b"\n")
    if hashlib.sha256(payload).hexdigest().encode() != digest:
        raise ValueError("its checksum differs")
    try:
        return json.loads(payload)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


@cache
def warn_damaged(path: Path, remedy: str) -> None:
    """Say, once of each, that a file of a cache is not as it was written, and what is done about it."""
    print(f"warning: {path} is damaged: {remedy}", file=sys.stderr, flush=True)


def write_checksums(folder: Path) -> None:
    """``SHA256SUMS`` over all other files below the folder, as ``sha256sum -c`` reads it."""
    text = checksums_text({name: sha256_file(folder / name) for name in _sealed_names(folder)})
    (folder / CHECKSUMS).write_text(text, "utf-8")


def checksums_text(digests: Mapping[str, str]) -> str:
    """What ``write_checksums`` writes of files with these checksums, by their names."""
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))


def _sealed_names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()} - {CHECKSUMS}


def damaged_file(folder: Path) -> str | None:
    """The first file of a folder that ``write_checksums`` sealed which is lost or not as it was then; ``SHA256SUMS`` where it
    does not know one; None: all are as they were. Raises OSError when one, or ``SHA256SUMS``, cannot be read."""
    lines = (folder / CHECKSUMS).read_text("utf-8", "replace").splitlines()
    sealed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    there = _sealed_names(folder)
    if there - sealed.keys():
        return CHECKSUMS
    if lost := sealed.keys() - there:
        return min(lost)
    return next((name for name, digest in sealed.items() if sha256_file(folder / name) != digest), None)


def is_unicode(*texts: str) -> bool:
    """Whether UTF-8 can say them. JSON can also say half of a character (``"\\ud800"``): no file, tokenizer or server takes
    it."""
    try:
        for text in texts:
            text.encode()
    except UnicodeEncodeError:
        return False
    return True


def json_text(value: Any) -> str:
    """Sorted keys, shortest floats: the same value gives the same text. Raises ValueError for NaN and infinity."""
    return json.dumps(value, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write ``json_text``. Raises ValueError for NaN, infinity and text that is no Unicode."""
    path.write_bytes(json_text(value).encode())


def read_json(path: Path) -> Any:
    """Raises FileNotFoundError, or ValueError when the content is not JSON in UTF-8."""
    return json.loads(path.read_text("utf-8"))


def read_object(path: Path) -> dict[str, Any]:
    """Raises FileNotFoundError, or ValueError when the content is no JSON object."""
    found = read_json(path)
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} holds no object, but {str(found)[:40]!r}")
    return found


def read_yaml(path: Path) -> Any:
    """Raises OSError, or ValueError as ``yaml_of``."""
    return yaml_of(path.read_bytes())


def yaml_of(content: bytes) -> Any:
    """Raises ValueError: it is no YAML; of a date or a number that is none, PyYAML raises every kind of error."""
    import yaml

    try:
        return yaml.safe_load(content)
    except (yaml.YAMLError, LookupError, AttributeError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from None


def remembered(file: Path) -> dict[str, str]:
    """What ``write_json`` left there; nothing where it left nothing, or something else did."""
    try:
        return {str(key): str(value) for key, value in read_json(file).items()}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}


def write_parquet(path: Path, table: pa.Table) -> None:
    """One row group, zstd, no schema metadata: the same content gives the same bytes, however it was chunked."""
    import pyarrow.parquet as pq

    table = table.combine_chunks().replace_schema_metadata(None)
    pq.write_table(table, path, compression="zstd", row_group_size=max(table.num_rows, 1))


def atomic_write_text(path: Path, text: str) -> None:
    """Write beside, flush, rename: a reader, and a restart after a crash, sees the old text or the new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        flush(path.parent)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """An empty folder beside ``folder`` that takes its place at the end. If the block fails, ``folder`` is as it was. Who is killed
    while the two change places leaves one of them aside: ``restore_folder``."""
    restore_folder(folder)
    draft, before = folder.with_name(f".{folder.name}.draft"), _aside(folder)
    for left in (draft, before):  # by who was killed; whatever lies before is older than the folder
        shutil.rmtree(left, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        if folder.exists():
            folder.rename(before)
        draft.rename(folder)
    finally:
        restore_folder(folder)
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(before, ignore_errors=True)


def restore_folder(folder: Path) -> None:
    """Put back what a killed ``replaced_folder`` left aside, if nothing took its place."""
    if not folder.exists() and _aside(folder).exists():
        _aside(folder).rename(folder)


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.before")


def flush(path: Path) -> None:
    """Ask the disk for what the file, or the folder's list of names, holds."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def folders_of(pattern: Path) -> list[Path]:
    """The folder itself, whatever its name, or all that the pattern's last part, with * or ?, matches."""
    if pattern.is_dir() or not glob.has_magic(pattern.name):
        return [pattern]
    return sorted(path for path in pattern.parent.glob(pattern.name) if path.is_dir())
