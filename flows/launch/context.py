"""What the processes of a launch have to know: one file in the launch's folder, which one variable of the environment names."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from pipelines.errors import MachineFailure
from pipelines.files import atomic_write_text

VARIABLE = "EMPG_LAUNCH"
_FILE = "launch.json"


@dataclass(frozen=True)
class LaunchContext:
    """A launch, as each of its processes finds it, on this machine or on another.

    ``folder``: the launch's own, with this file and the reasons of runs that failed. ``working_folder``: where the command was
    given. ``process``: the launching one's number. ``overview``: the terminal shows all runs, and no run a bar of its own.
    ``prefect``: the address of Prefect's API, None where there are no pages. ``flow_run``: the launch's flow run in Prefect,
    None where a run has no other above it. ``closed_trackers``: keys of trackers that the launch could not open.
    """

    folder: Path
    working_folder: Path
    process: int
    overview: bool = False
    prefect: str | None = None
    flow_run: str | None = None
    closed_trackers: tuple[str, ...] = ()

    def failure_file(self, run: Path) -> Path:
        """Where this launch keeps why the run of a folder failed."""
        return self.folder / hashlib.sha256(str(run).encode()).hexdigest()[:20]


def current_launch() -> LaunchContext | None:
    """The launch that this process belongs to; None outside of launches.

    Raises:
        MachineFailure: the launch's folder is not there.
    """
    folder = os.environ.get(VARIABLE)
    return _read(Path(folder)) if folder else None


@contextmanager
def handed_over(context: LaunchContext) -> Iterator[None]:
    """This process and all that it starts belong to the launch."""
    values = asdict(context) | {"folder": str(context.folder), "working_folder": str(context.working_folder)}
    atomic_write_text(context.folder / _FILE, json.dumps(values))
    os.environ[VARIABLE] = str(context.folder)
    try:
        yield
    finally:
        os.environ.pop(VARIABLE, None)


@cache
def _read(folder: Path) -> LaunchContext:
    try:
        values = json.loads((folder / _FILE).read_text("utf-8"))
    except OSError as error:
        raise MachineFailure(
            f"the folder of this run's launch cannot be read ({error}): launch in a working folder that all machines see"
        ) from None
    paths = {name: Path(values[name]) for name in ("folder", "working_folder")}
    return LaunchContext(**{**values, **paths, "closed_trackers": tuple(values["closed_trackers"])})
