"""``make real``: a pretrained model on this machine, which needs no GPU.

SmolLM2-135M-Instruct, from a package of the registry, answers questions about an invented world with a search engine: as it comes,
after a short imitation of the expert, and after GRPO with EMPG off and full, two seeds each (``conf/scale/real.yaml``). The same
launch continues a killed one; what is done is not done again.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from flows.__main__ import launch, show
from flows.dvc_outputs import owner_of
from flows.exits import exit_code, leave
from flows.launch.command import Command, read_command
from pipelines.config import RunConfig
from pipelines.cpu import BFLOAT16_FLAGS, cpu_flags
from pipelines.run_folder import run_folder

SWEEP = ["empg=off,full", "seed=0,1"]
# Told what it may do, which those that train have seen. One seed: its answers are of no form that can be read.
AS_IT_COMES = [
    "algorithm.name=react",
    "empg=off",
    "seed=0",
    "training.iterations=0",
    "warm_start=null",
    "benchmark.prompt.instructions=true",
]
STUDY, TRIED = "real", "real-tried"


@exit_code
def main(overrides: Sequence[str]) -> int:
    """``overrides`` go to every run, e.g. ``training.iterations=2``; their report stands apart (``reports/real-tried``). Returns the
    launch's exit code, or 1 if the report failed."""
    start = time.monotonic()
    command = read(["scale=real", f"policy.dtype={products()}", *overrides])
    if command.shows:
        return show(command)
    code = launch(command)
    if code:
        return code
    report = publish_study([job.config for job in command.jobs], TRIED if overrides else STUDY)
    from flows.windows.ending import show_end
    from flows.windows.terminal import duration

    print(f"took {duration(time.monotonic() - start)}; tables: {report / 'tables'}\n")
    show_end(command.jobs, report / "report.html")
    return 0


def products() -> str:
    """bfloat16 where the processor multiplies it, which is twice as fast; elsewhere float32."""
    return "bfloat16" if cpu_flags() & BFLOAT16_FLAGS else "float32"


def read(overrides: Sequence[str]) -> Command:
    """One launch: the runs that train, and those that play the model as it comes.

    Raises:
        ConfigError: a value is wrong, or the extra `real` is not installed. DataError: its file is not the model's.
    """
    asked = read_command(overrides)
    if asked.shows:
        return asked
    from flows.launch.libraries import calm_libraries
    from pipelines.smollm2 import smollm2
    from pipelines.workers import ordered_map

    calm_libraries()
    (folder,) = ordered_map(
        smollm2, [(asked.configs[0].execution.artifacts,)], workers=1
    )  # a process that lets go of its memory
    launched = ["-m", *SWEEP, *overrides, f"model.pretrained={folder}"]
    before, trained = read_command([*launched, *AS_IT_COMES]), read_command(launched)
    return replace(trained, configs=before.configs + trained.configs, jobs=before.jobs + trained.jobs)


def publish_study(configs: Sequence[RunConfig], study: str) -> Path:
    """The study, which is the last launch's alone, with its table, figures and report: by DVC, where it makes them. Returns the
    report's folder."""
    from flows.publish import publish, study_lock
    from flows.report import make_report
    from pipelines.reporting.report import collect

    results, report = Path("results") / study, Path("reports") / study
    with study_lock():
        if study == STUDY and owner_of(report) is not None:
            return publish(configs, "real")
        shutil.rmtree(results, ignore_errors=True)
        collect([run_folder(config) for config in configs], results)
        make_report(results, report)
    return report


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
