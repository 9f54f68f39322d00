"""What benchmarks keep beside the artifacts because it is costly to make: whoever opens an entry checks it,
and ``flows.verify`` checks all.

An entry is a file that ``files.sealed`` wrote, or a folder of a form of the benchmark's own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from pipelines.files import unsealed


def sealed_files(cache: Path, pattern: str = "**/*.json") -> Iterator[tuple[Path, str]]:
    """The sealed files of a cache, by default all below it, and what is wrong with each, "" where nothing is."""
    for path in sorted(cache.glob(pattern)):
        yield path, damage(path, lambda at: unsealed(at.read_bytes()))


def damage(entry: Path, check: Callable[[Path], object]) -> str:
    """What is wrong with an entry, by the OSError or ValueError that ``check`` raises; "" where nothing is, or where it was removed
    meanwhile. What seems damaged is looked at once more: its maker may just have replaced it."""
    return _damage(entry, check) and _damage(entry, check)


def _damage(entry: Path, check: Callable[[Path], object]) -> str:
    try:
        check(entry)
    except (OSError, ValueError) as error:
        return str(error) if entry.exists() else ""
    return ""


def remove(entry: Path) -> str:
    """Whoever needs it makes it again, also who is making it at this moment. Returns "": nothing keeps it. Raises OSError."""
    if entry.is_dir():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)
    return ""
