"""What a tracker is: a log that is written and never read back into a run.

Adding one touches two files: a module of this package, whose ``SETTINGS`` is a ``TrackerSettings``, and
``conf/tracker/<module>.yaml``. It is chosen by ``tracker=[…,<module>]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, model_validator

if TYPE_CHECKING:
    import pyarrow as pa

Status = Literal["FINISHED", "FAILED", "KILLED"]


class _Shown:
    """What trackers show holds no text that files, databases and servers refuse: half of a character, or a zero byte."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            object.__setattr__(self, name, _printable(value))


@dataclass(frozen=True)
class TrackedRun(_Shown):
    """One run as trackers show it. ``folder``: the run's own, where a tracker keeps what it must remember to go on in the same
    record. ``cell``: what the seeds of one cell share. ``tags``: what comparisons go by. ``config``: plain nested values."""

    folder: Path
    name: str
    cell: str
    tags: Mapping[str, str]
    config: Mapping[str, Any]


@dataclass(frozen=True)
class TrackedCell(_Shown):
    """The runs of one cell in a launch: ``runs`` are their folders, ``key`` the name of the folder that holds these."""

    key: str
    name: str
    tags: Mapping[str, str]
    runs: Sequence[Path]


@dataclass(frozen=True)
class TrackedLaunch(_Shown):
    """A launch of many, those runs included that were finished before. ``key`` is the same for the same runs; ``memory`` is a
    folder where a tracker may keep ``<key>.json`` to go on in the same record."""

    key: str
    title: str
    tags: Mapping[str, str]
    cells: Sequence[TrackedCell]
    memory: Path


class Tracker(Protocol):
    """One run's record. The same run is logged again by the process that resumes it: a point (name and iteration) that an
    earlier process has logged is not logged twice.

    A value or a name that the library refuses is lost alone, with one warning. Any other exception may leave a method: the
    caller then gives one warning and asks this tracker no further.
    """

    def start(self) -> None:
        """Begin the record, or go on in the one that the run's folder remembers."""
        ...

    def metrics(self, iteration: int, values: Mapping[str, float]) -> None: ...

    def evaluation(self, iteration: int, table: pa.Table) -> None:
        """One row per episode."""
        ...

    def upload(self, results: Path, model: Path | None) -> None:
        """Files of the finished run: its results, and the trained model where its checkpoint is a model folder."""
        ...

    def end(self, status: Status) -> None:
        """Everything is delivered when this returns. Nothing else is called afterwards."""
        ...


class LaunchTracker(Protocol):
    """A launch of many above its runs, which are logged by processes of their own."""

    def start(self) -> None: ...

    def end(self, status: Status, finished: frozenset[Path], table: str) -> None:
        """``finished``: folders of the launch's runs whose results are complete. ``table``: a summary in Markdown."""
        ...


@dataclass(frozen=True)
class Pages:
    """A tracker's pages, as a program that serves them on this machine until it is ended. ``addresses``: what there is to open now, by
    name; a text where there is nothing yet. The first is always there. Raises what the tracker raises where it cannot be asked."""

    command: Sequence[str]
    environment: Mapping[str, str]
    addresses: Callable[[], Mapping[str, str]]


class TrackerSettings(BaseModel):
    """Settings of one tracker, ``execution.trackers.<module>``, and how it is opened. Light to import.

    ``library`` is the module that the tracker needs, ``extra`` the optional dependency that installs it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
    title: ClassVar[str]
    library: ClassVar[str]
    extra: ClassVar[str]

    @model_validator(mode="after")
    def _library_is_installed(self) -> TrackerSettings:
        if find_spec(self.library) is None:
            raise ValueError(
                f"{self.title} needs the package {self.library}, which is not installed beside this Python: "
                f"pip install '.[{self.extra}]' in the repository, or leave this tracker out of tracker=[…]"
            )
        return self

    @property
    def place(self) -> str:
        """The tracker and where it logs, for warnings."""
        return self.title

    @property
    def key(self) -> str:
        """Names the place in files: an address may hold a password."""
        return sha256(self.place.encode()).hexdigest()[:16]

    def prepare(self) -> None:
        """Create what all runs of a launch share, once, before they start. Raises whatever the library raises."""

    def track_run(self, run: TrackedRun) -> Tracker:
        raise NotImplementedError

    def track_launch(self, launch: TrackedLaunch) -> LaunchTracker | None:
        """None: this tracker shows runs alone."""
        return None

    def owe(self, folder: Path) -> None:
        """Remember that nothing was said of the run in that folder, because the tracker could not be opened. A tracker whose records
        are files needs no memory."""

    def owes(self, folder: Path) -> bool:
        """Whether it was not told everything of the run in that folder, or not that its process has ended."""
        return False

    def killed_launches(self, memory: Path) -> Sequence[Path]:
        """A file in that folder (``TrackedLaunch.memory``) of each launch that shows as running and that no process is at. A tracker
        that shows runs alone has none."""
        return []

    def end_killed_launch(self, file: Path) -> None:
        """Let one of those show that it was killed, or what it could not tell at its end. Raises what the tracker raises."""

    def pages(self, runs: Path, port: int) -> Pages | None:
        """``runs``: the folder of all runs. None: its pages are elsewhere. Called after ``prepare``."""
        return None


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    if isinstance(value, Mapping):
        return {_printable(key): _printable(inner) for key, inner in value.items()}
    return [_printable(inner) for inner in value] if isinstance(value, list) else value


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values by their dotted names."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
