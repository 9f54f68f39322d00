"""What the disk, and the shell's limit on files, must leave for the checkpoints of a pretrained model."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows.configure.compose import compose
from pipelines.errors import MachineFailure
from pipelines.planning import room
from pipelines.planning.room import check_room

GIB = 1 << 30
# Qwen2.5-0.5B has 494,032,768 parameters: moments of 3.68 GiB, and with weights of two bytes each 4.60 GiB.
MODEL = ["scale=single", "model=qwen2.5_0.5b"]


def limited(monkeypatch: pytest.MonkeyPatch, *, file: float = float("inf"), free: float = 1e6) -> None:
    """GiB that a file may have, and that are free."""
    limit = resource.RLIM_INFINITY if file == float("inf") else int(file * GIB)
    monkeypatch.setattr(room.resource, "getrlimit", lambda _: (limit, resource.RLIM_INFINITY))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=int(free * GIB)))


def test_a_file_that_would_be_too_large_is_said_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, file=3.6)
    with pytest.raises(MachineFailure, match=r"494M parameters into files of 3\.7 GiB.*have 3\.6: .*ulimit -f"):
        check_room(compose(MODEL))
    limited(monkeypatch, file=3.7)
    check_room(compose(MODEL))


def test_a_full_disk_is_said_beforehand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = [*MODEL, f"execution.artifacts={tmp_path}/not/yet/there"]
    limited(monkeypatch, free=4.5)
    with pytest.raises(
        MachineFailure, match=r"takes 4\.6 GiB at least.*not/yet/there has 4\.5 free.*execution\.artifacts"
    ):
        check_room(compose(asked))
    limited(monkeypatch, free=4.7)
    check_room(compose(asked))


@pytest.mark.parametrize(
    "small",
    [
        [*MODEL, "training.adapter=lora"],  # 8.8M parameters at rank 16: .07 GiB
        [*MODEL, "training.iterations=0", "warm_start=null"],
        ["scale=laptop"],
        ["scale=smoke", "policy=scripted"],
    ],
)
def test_what_trains_little_needs_little(monkeypatch: pytest.MonkeyPatch, small: list[str]) -> None:
    limited(monkeypatch, file=0.1, free=0.1)
    check_room(compose(small))


def test_ranks_share_the_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Qwen2.5-1.5B's 1,543,714,304 parameters on four ranks: files of 2.9 GiB instead of 11.5."""
    limited(monkeypatch, file=3)
    experiment = compose(["scale=paper", "model=qwen2.5_1.5b"])
    assert experiment.experiment.policy.checkpoint_parts == 4
    check_room(experiment)
    limited(monkeypatch, file=2.8)
    with pytest.raises(MachineFailure, match=r"files of 2\.9 GiB"):
        check_room(experiment)
