"""The machine's clock is set back or forward in the middle of a run: nothing hangs, is negative or changes a byte."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path

from tests.faults.scenarios.scene import NotTried, Scene

_DAY_S = 86_400


def clock_set_back(scene: Scene) -> None:
    """By a day."""
    _set(scene, -_DAY_S)


def clock_set_forward(scene: Scene) -> None:
    """By a day."""
    _set(scene, _DAY_S)


def _set(scene: Scene, seconds: int) -> None:
    """The clock of all that the launch starts is the machine's and what a file says (``clock.c``)."""
    library, offset = _compiled(scene.folder), scene.folder / "offset"
    scene.furnish()
    offset.write_bytes(struct.pack("q", 0))
    launch = scene.start(told={"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(offset)})
    if scene.until_it_plays(launch):
        with offset.open("r+b") as file:
            file.write(struct.pack("q", seconds))
    scene.ends(launch)
    scene.same_bytes()
    scene.page_is_whole()
    (timing,) = scene.work.glob("runs/*/seed0/timing.json")
    if negative := [name for name, value in json.loads(timing.read_text()).items() if value < 0]:
        scene.faults.append(f"negative in timing.json: {negative}")
    log = timing.with_name("run.log").read_text()
    if " after -" in log:
        scene.faults.append("a negative time in run.log")
    if len({line[:10] for line in log.splitlines()}) < 2:
        scene.faults.append("it could not be tried: its log has one date")
    scene.nothing_is_left_running()


def _compiled(folder: Path) -> Path:
    compiler, library = shutil.which("cc"), folder / "clock.so"
    if compiler is None:
        raise NotTried("there is no C compiler")
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    return library


SCENARIOS = (clock_set_back, clock_set_forward)
