"""Damaged files of what no small run has: of `make fuzz` as many as a second or so has room for."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.config import StandIn
from pipelines.policies import make_stand_in
from tests.faults.brought import bring
from tests.faults.files import READERS, _read

TINY = StandIn(hidden_size=32, layers=1, heads=1, kv_heads=1, mlp=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("small runs")
    make_stand_in(TINY, ["a mug"], out / "model")
    bring(out / "model", out / "alfworld" / "brought")
    return out


@pytest.mark.parametrize("name", [name for name, reader in READERS.items() if reader.files.startswith("brought/")])
def test_a_damaged_file_is_read_or_refused(name: str, folder: Path) -> None:
    chunk = _read(name, str(folder), 0, 0, 20)
    assert (chunk.done, chunk.faults) == (20, [])
