"""Small runs for tests, of each benchmark, with the local policy."""

from __future__ import annotations

import copy
import hashlib
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pipelines.config import RunConfig
from pipelines.experiment import run_experiment
from pipelines.progress import Work
from pipelines.run_info import RunInfo
from tests.environments.small import small
from tests.once import made_once

T = TypeVar("T")


class Quiet:
    """An observer that remembers what it was told."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int | None]] = []
        self.said: dict[int, dict[str, float]] = {}
        self.finished: Path | None = None

    def run_started(self, info: RunInfo) -> None: ...

    def stage(self, name: str, iteration: int | None, work: Callable[[], T], *, retries: int = 0) -> T:
        self.stages.append((name, iteration))
        return work()

    def metrics(self, iteration: int, values: Mapping[str, float]) -> None:
        self.said.setdefault(iteration, {}).update(values)

    def evaluation(self, iteration: int, table: Any) -> None: ...

    def preparing(self, what: str, fraction: float) -> None: ...

    def progress(self, work: Work, text: str) -> None: ...

    def run_finished(self, results: Path, model: Path | None) -> None:
        self.finished = results


def small_config(root: Path, benchmark: str = "alfworld", **overrides: Any) -> RunConfig:
    """A genuine environment, a tiny genuine model, two iterations; seconds. ``overrides``: dotted experiment keys."""
    experiment: dict[str, Any] = {
        "scale": "test",
        "model": {
            "name": "tiny", "pretrained": "none",
            "stand_in": {"hidden_size": 32, "layers": 1, "heads": 1, "kv_heads": 1, "mlp": 32, "context_length": 2048},
        },
        "policy": {"name": "local"},
        "algorithm": {"name": "grpo"},
        "empg": {"arm": "full"},
        "training": {"iterations": 2, "tasks": 2, "group_size": 2, "learning_rate": 1e-3},
        "rollout": {"max_action_tokens": 8},
        "evaluation": {"every": 1, "games": 6},
        "warm_start": {"tokens": 600, "batch_tokens": 300},
        **copy.deepcopy(small(benchmark).sections),
    }  # fmt: skip
    for key, value in overrides.items():
        *path, last = key.split("__")
        section = experiment
        for name in path:
            section = section[name]
        section[last] = value
    execution = {"runs": root / "runs", "artifacts": root / "artifacts", "progress": False}
    return RunConfig.model_validate({"experiment": experiment, "execution": execution})


def small_run(factory: pytest.TempPathFactory, benchmark: str = "alfworld") -> Path:
    """Where a small run of the benchmark is finished: made once, and only read."""
    return made_once(
        factory, f"finished-{benchmark}", lambda root: run_experiment(small_config(root, benchmark), Quiet())
    )


def with_data(finished: Path, root: Path) -> None:
    """Below ``root`` runs will find the data of a finished one: what is looked at is something else, and data are made for
    seconds."""
    for name in ("data", "panels", "cache"):
        if (made := finished / "artifacts" / name).exists():
            shutil.copytree(made, root / "artifacts" / name)


def digests(root: Path) -> dict[str, str]:
    """SHA-256 of every file that makes a run: the store's payloads and records, and the results."""
    parts = [*(root / "artifacts").rglob("*"), *(root / "runs").rglob("results/*")]
    left_out = (".locks", "/cache/")
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(parts)
        if p.is_file() and not any(part in str(p) for part in left_out)
    }


def damage(finished: Path, root: Path, victim: str, harm: Callable[[bytes], bytes | None]) -> Path:
    """A copy of the finished run without its results, with one file of the store damaged or (None) removed."""
    shutil.copytree(finished, root, dirs_exist_ok=True)
    (results,) = (root / "runs").rglob("results")
    shutil.rmtree(results)
    path = next(p for p in sorted((root / "artifacts").glob(victim)) if p.stat().st_size)
    content = harm(path.read_bytes())
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    return path


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def remedied(message: str) -> Path:
    """The folder that an error says to remove."""
    found = re.search(r"remove the folder (\S+) and launch again", message)
    assert found is not None, message
    return Path(found[1])
