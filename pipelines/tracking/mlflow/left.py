"""Pages that show something as running which is over: of launches whose end MLflow could not be told, and of runs whose process is
gone. A later launch, or ``flows.sync``, ends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipelines.files import atomic_write_text, remembered, sealed, unsealed, warn_damaged
from pipelines.tracking.mlflow.database import Database
from pipelines.tracking.mlflow.owed import owed, settle
from pipelines.tracking.mlflow.run import BATCH, RUN_ID, metric_of

_NOTE = ".undelivered.json"  # beside a launch's memory of its ids


def owe_launch(memory: Path, key: str, place: str, runs: Mapping[str, Sequence[Path]]) -> None:
    """``place``: the tracker's key. ``runs``: the folders of each cell's. A full disk costs the later end."""
    with suppress(OSError):
        cells = {cell: [str(folder) for folder in folders] for cell, folders in runs.items()}
        atomic_write_text(memory / f"{key}{_NOTE}", sealed({"place": place, "cells": cells}).decode())


def settle_launch(memory: Path, key: str) -> None:
    (memory / f"{key}{_NOTE}").unlink(missing_ok=True)


def owed_launches(memory: Path, place: str) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Their keys, and the runs of their cells. A damaged note is told of, and is of no launch."""
    for note in sorted(memory.glob(f"*{_NOTE}")):
        try:
            kept = unsealed(note.read_bytes())
            if kept["place"] == place:
                yield (
                    note.name.removesuffix(_NOTE),
                    {str(cell): list(map(str, runs)) for cell, runs in kept["cells"].items()},
                )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            warn_damaged(note, "the launch's page in MLflow is ended when it is launched again")


def end_launches(uri: str, memory: Path, place: str, is_finished: Callable[[Path], bool]) -> None:
    """By what their runs are now. Raises what MLflow raises."""
    client = Database(uri).client
    for key, cells in owed_launches(memory, place):
        ids = remembered(memory / f"{key}.json")
        whole = {cell: all(is_finished(Path(folder)) for folder in folders) for cell, folders in cells.items()}
        for cell, done in (whole | {"grid": all(whole.values())}).items():
            if cell in ids:
                _end(client, ids[cell], "FINISHED" if done else "KILLED")
        settle_launch(memory, key)


def end_run(uri: str, folder: Path) -> None:
    """Of a run that is not finished and that nobody executes: what waits is told, and the page no longer shows it running. Raises what
    MLflow raises."""
    memory = folder / RUN_ID
    if memory.exists():
        client, run_id, points = Database(uri).client, memory.read_text("utf-8").strip(), owed(folder, uri) or []
        for at in range(0, len(points), BATCH):
            client.log_batch(run_id, metrics=[metric_of(point) for point in points[at : at + BATCH]])
        _end(client, run_id, "KILLED")
    settle(folder, uri)


def _end(client: Any, run_id: str, status: str) -> None:
    """One that was deleted on the page needs no end."""
    from mlflow.exceptions import MlflowException

    try:
        client.set_terminated(run_id, status)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
