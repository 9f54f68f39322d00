"""A finished run's trajectories and last checkpoint, gathered from the artifact store for whoever keeps them elsewhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.artifacts import RECORD
from pipelines.errors import DataError
from pipelines.files import read_json


def archive_run(run: Path, store: Path, out: Path) -> None:
    """Write ``out/rollouts/iteration0000/{steps,trajectories}.parquet`` … and ``out/checkpoint/`` (a Hugging Face folder).
    Files are hard links where the file system has them: the store's are never written again.

    Raises:
        DataError: the run is not finished, or the store has no longer what it was made of.
    """
    try:
        last = store / read_json(run / "results" / "run.json")["checkpoint"]
        _link_tree(last / "model", out / "checkpoint")
        for iteration, rollout in _rollouts(last, store):
            for name in ("steps.parquet", "trajectories.parquet"):
                _link(rollout / name, out / "rollouts" / f"iteration{iteration:04d}" / name)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"run {run} cannot be archived ({error}): launch it again, then archive again") from None


def _rollouts(checkpoint: Path, store: Path) -> Iterator[tuple[int, Path]]:
    """From the last iteration back to the first: an update's record names the rollout and the policy that it was made of."""
    record: dict[str, Any] = read_json(checkpoint / RECORD)
    while record["stage"] == "update":
        inputs = record["inputs"]
        yield int(record["values"]["iteration"]), store / "rollout" / inputs["rollout"][:20]
        before = store / "update" / inputs["policy"][:20]
        if not before.is_dir():  # the policy that RL began with
            return
        record = read_json(before / RECORD)


def _link_tree(source: Path, target: Path) -> None:
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        _link(file, target / file.relative_to(source))
    if not target.is_dir():
        raise FileNotFoundError(f"{source} is not there")


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
