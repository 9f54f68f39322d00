"""The machine's clock is set back or forward in the middle of a run: nothing hangs, is negative or changes a byte."""

from __future__ import annotations

import json
from pathlib import Path

from tests.faults.scenarios.scene import NotTried, Scene

_DAY_S = 86_400
_LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")


def clock_set_back(scene: Scene) -> None:
    """By a day."""
    _set(scene, -_DAY_S)


def clock_set_forward(scene: Scene) -> None:
    """By a day."""
    _set(scene, _DAY_S)


def _set(scene: Scene, seconds: int) -> None:
    """The clock of all that the launch starts reads its offset from a file. Intervals are measured by another, which stays as it is."""
    library, offset = _library(), scene.folder / "offset"
    scene.furnish()
    offset.write_text("+0")
    launch = scene.start(told={
        "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
    })  # fmt: skip
    if scene.until_it_plays(launch):
        offset.write_text(f"{seconds:+d}")
    scene.ends(launch)
    scene.same_bytes()
    scene.page_is_whole()
    for file in scene.work.glob("runs/*/*/timing.json"):
        if negative := [name for name, value in json.loads(file.read_text()).items() if value < 0]:
            scene.faults.append(f"negative in timing.json: {negative}")
    log = next(scene.work.glob("runs/*/*/run.log")).read_text()
    if " after -" in log:
        scene.faults.append("a negative time in run.log")
    scene.nothing_is_left_running()


def _library() -> Path:
    found = [path for pattern in _LIBRARIES for path in Path("/").glob(pattern.lstrip("/"))]
    if not found:
        raise NotTried("libfaketime is not installed (apt-get install faketime)")
    return found[0]


SCENARIOS = (clock_set_back, clock_set_forward)
