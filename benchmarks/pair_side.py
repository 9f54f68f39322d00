"""One run of any commit's tree with a clock of CPU time: of this process and all below it, by stage.

``python <this file> <file> <starts> [override …]`` runs in the root of a tree and writes the seconds as JSON. The warm start is copied
from the folder ``starts``, or made and left there: both sides begin with one policy, and so play alike. What is made once for many
runs (data, panels, model, warm start) is told by itself, and not part of ``run``.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections import defaultdict
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

ONCE = ("data", "panels", "model", "warm_start")


class Silent:
    """An observer that hears nothing."""

    def stage(self, name: str, iteration: int | None, work: Callable[[], Any], *, retries: int = 0) -> Any:
        return work()

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def main(file: Path, starts: Path, overrides: list[str]) -> None:
    sys.path[0] = str(Path.cwd())  # the tree's own packages, not those beside this file
    compose = import_module("flows.configure.compose" if Path("flows/configure").is_dir() else "flows.compose").compose
    config = compose(overrides)
    making = _clock(import_module("pipelines.artifacts").ArtifactStore)
    _share(
        import_module("pipelines.stages.warm_start"),
        starts / config.experiment.benchmark.name / config.experiment.model.name,
    )
    import_module("pipelines.experiment").run_experiment(config, Silent())
    once = sum(making.pop(stage, 0.0) for stage in ONCE)
    run = cpu_seconds() - once
    file.write_text(json.dumps({"run": run, "once": once, **making, "rest": run - sum(making.values())}))


def cpu_seconds() -> float:
    """User and system time of this process, its children, and those that have ended."""
    import psutil

    me, total = psutil.Process(), 0.0
    for process in (me, *me.children(recursive=True)):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.Error:  # ended meanwhile, and counted by its parent
            continue
    return total


def _clock(store: Any) -> dict[str, float]:
    """The seconds that stages took where they were made, from now on."""
    making: defaultdict[str, float] = defaultdict(float)
    get_or_make = store.get_or_make

    def clocked(self: Any, stage: str, version: int, values: Any, inputs: Any, make: Callable[[Any], None]) -> Any:
        def timed(draft: Any) -> None:
            start = cpu_seconds()
            make(draft)
            making[stage] += cpu_seconds() - start

        return get_or_make(self, stage, version, values, inputs, timed)

    store.get_or_make = clocked
    return making


def _share(stage: Any, start: Path) -> None:
    """Commits differ in how they call the warm start, not in the folder that it fills: the keyword ``out``, or the second argument."""
    imitate = stage.warm_start

    def shared(*given: Any, **named: Any) -> Any:
        out = Path(named["out"] if "out" in named else given[1])
        if start.is_dir():
            shutil.copytree(start, out, dirs_exist_ok=True)
            return {}
        metrics = imitate(*given, **named)
        shutil.copytree(out, start)
        return metrics

    stage.warm_start = shared


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
