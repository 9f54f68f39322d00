"""Eight launches at once in one folder, where nothing was before."""

from __future__ import annotations

from tests.faults.scenarios.scene import RUN, Scene
from tests.pipelines.runs import digests

_LAUNCHES = 8
_ALONE = r"error: .* part of a launch that is running here"


def _within_s(scene: Scene) -> float:
    """Of eight launches, on however few cores, where nothing was made before."""
    return 2 * _LAUNCHES * scene.calm.seconds + 60


def same_cell(scene: Scene) -> None:
    """One runs, or those after it find it done; the others are told so."""
    scene.work.mkdir()
    launches = [scene.start() for _ in range(_LAUNCHES)]
    codes = []
    for launch in launches:
        launch.process.wait()
        refused = launch.process.returncode == 1
        codes.append(scene.ends(launch, codes=(0, 1), says=_ALONE if refused else "", within_s=_within_s(scene)))
    if 0 not in codes:
        scene.faults.append("none of them ran")
    scene.same_bytes(cold=True)
    scene.nothing_is_left_running()


def different_cells(scene: Scene) -> None:
    """Their data, model and warm start are the same: made once, and pruned by nobody who is not the last."""
    scene.work.mkdir()
    cells = [(f"empg={arm}", f"seed={seed}") for arm in ("off", "full") for seed in range(_LAUNCHES // 2)]
    for launch in [scene.start(*cell) for cell in cells]:
        scene.ends(launch, within_s=_within_s(scene))
    scene.nothing_is_left_running()
    alone = scene.folder / "one-after-the-other"
    alone.mkdir()
    arms = ("-m", *RUN[:-1], "empg=off,full", f"seed=range({_LAUNCHES // 2})", "hydra/launcher=basic")
    scene.ends(scene.start(*arms, work=alone), within_s=_within_s(scene))
    if digests(scene.work) != digests(alone):
        scene.faults.append("other bytes than one after the other")


SCENARIOS = (same_cell, different_cells)
