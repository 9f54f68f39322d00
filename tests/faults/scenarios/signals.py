"""Who launched says stop, at any time: what was started ends, in one line, and the next launch goes on."""

from __future__ import annotations

import signal
import time

from tests.faults.scenarios.scene import RUN, Scene

_AFTER_S = (0.2, 0.5, 1.0, 2.0, 4.0)
_AFTER = (0.3, 0.6, 0.9)  # of a launch that nobody stops
_ENDS_S = 20.0  # after the signal
_SWEEP = ("-m", *RUN[:-1], "seed=0,1", "hydra.launcher.n_jobs=2")


def interrupted_early(scene: Scene) -> None:
    """Ctrl-C in a terminal: to the whole group."""
    _stop_each(scene, signal.SIGINT, RUN)


def interrupted_early_sweep(scene: Scene) -> None:
    _stop_each(scene, signal.SIGINT, _SWEEP)


def ended(scene: Scene) -> None:
    """SIGTERM to the launch alone, as a scheduler or ``kill`` does."""
    _stop_each(scene, signal.SIGTERM, RUN)


def terminal_closed(scene: Scene) -> None:
    """SIGHUP to the group."""
    _stop_each(scene, signal.SIGHUP, RUN)


def _stop_each(scene: Scene, which: signal.Signals, words: tuple[str, ...]) -> None:
    scene.furnish()
    for after_s in sorted((*_AFTER_S, *(share * scene.calm.seconds for share in _AFTER))):
        launch = scene.start(*(words if "-m" in words else ()))
        time.sleep(after_s)
        if launch.is_over():  # it went on where those before it were
            break
        if which == signal.SIGTERM:
            launch.process.send_signal(which)
        else:
            launch.signal_group(which)
        # Python itself ends by the signal until the platform's own code is read.
        scene.ends(launch, codes=(130, -which), within_s=after_s + _ENDS_S)
        scene.nothing_is_left_running()
    scene.ends(scene.start(*(words if "-m" in words else ())), within_s=scene.calm.seconds * 4 + 30)
    scene.same_bytes(beside_others="-m" in words)
    scene.nothing_is_left_running()


SCENARIOS = (interrupted_early, interrupted_early_sweep, ended, terminal_closed)
