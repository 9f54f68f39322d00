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
from flows.exits import exit_code, leave
from flows.launch.command import Command, read_command
from pipelines.cpu import BFLOAT16_FLAGS, cpu_flags

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
STUDY, REPORT = Path("results/real"), Path("reports/real")


@exit_code
def main(overrides: Sequence[str]) -> int:
    """``overrides`` go to every run, e.g. ``training.iterations=2``. Returns the launch's exit code, or 1 if the report failed."""
    start = time.monotonic()
    command = read(["scale=real", f"policy.dtype={products()}", *overrides])
    if command.shows:
        return show(command)
    code = launch(command)
    if code:
        return code
    publish(command)
    print(f"table:   {REPORT / 'tables' / 'cells.md'}")
    print(f"report:  {REPORT / 'report.html'}")
    print(f"took {(time.monotonic() - start) / 60:.0f} min; `make ui` opens the MLflow and Prefect pages")
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


def publish(command: Command) -> None:
    """The study, which is the last launch's alone, its table, figures and report."""
    from flows.paper_settings import paper_settings
    from flows.study import study_lock
    from pipelines.files import write_json
    from pipelines.reporting.figures import FIGURES, write_figure
    from pipelines.reporting.page.build import write_page
    from pipelines.reporting.printing import summary_of
    from pipelines.reporting.rendering import show as show_table
    from pipelines.reporting.report import collect, write_table

    settings = REPORT / "paper_settings.json"
    with study_lock():
        shutil.rmtree(STUDY, ignore_errors=True)
        collect([job.folder for job in command.jobs], STUDY)
        REPORT.mkdir(parents=True, exist_ok=True)
        write_json(settings, paper_settings())
        show_table(summary_of(write_table("cells", STUDY, settings, REPORT / "tables")))
        for name in FIGURES:
            write_figure(name, STUDY, REPORT / "figures")
        write_page(STUDY, REPORT)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
