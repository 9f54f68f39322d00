"""``make credit``: credit measured on a reference run of each benchmark, GRPO without modulation at laptop scale, in groups of 16: what
every method gives its steps, what these were worth, and how far the two agree.

The same command again does what is missing: runs are continued, and what an oracle played is found in the store.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from flows.__main__ import launch, show
from flows.credit.__main__ import main as credit
from flows.credit.asked import parse
from flows.credit.measured import measured
from flows.credit.oracle import ORACLE, Numbers
from flows.exits import exit_code, leave
from flows.launch.command import read_command
from flows.launch.jobs import Job, core_seconds, step_seconds
from flows.publish import study_lock
from flows.streams import say
from pipelines.config import ExperimentConfig
from pipelines.files import replaced_folder
from pipelines.run_folder import is_finished
from pipelines.workers import ordered_map, usable_cores

SWEEP = [
    "+experiment=credit/alfworld_1.5b_grpo_off,credit/webshop_1.5b_grpo_off,credit/deepsearch_1.5b_grpo_off",
    "training.group_size=16",  # twice the scale's own, so that groups of 2, 4, 8 and 16 can be scored
]
OUT, STUDY, REPORT, TOURNAMENT = (
    Path("credit"),
    Path("results/credit"),
    Path("reports/credit"),
    Path("results/tournament"),
)
_ITERATIONS = 3  # the first, the middle and the last
# By a step of the oracle's: of 600, gradients and replay of WebShop took 170 s, the scores of ALFWorld 40.
_SCORED_STEP_S = 0.35


@exit_code
def main(arguments: Sequence[str]) -> int:
    """``steps=`` and ``continuations=`` are the oracle's, whatever else is said is the runs', e.g. ``scale=smoke``. Returns the first
    exit code that is not 0."""
    own = [argument for argument in arguments if argument.partition("=")[0] in ("steps", "continuations")]
    numbers = Numbers.of(parse(["oracle", "runs", *own], {"oracle": ORACLE}))
    command = read_command(["-m", *SWEEP, *(argument for argument in arguments if argument not in own)])
    if command.shows:
        return show(command)
    cores = usable_cores()
    say(*cost_lines(command.jobs, numbers, cores))
    if code := launch(command):
        return code
    folders = [OUT / job.folder.parent.name for job in command.jobs]
    calls = [
        (job.folder, folder, job.config.execution.artifacts, job.config.experiment.training.group_size, own)
        for job, folder in zip(command.jobs, folders, strict=True)
    ]
    # All at once, also on fewer cores: they are not equally long, and a core that has done its share would wait.
    codes = list(ordered_map(measured, calls, workers=len(calls), ahead=1))
    return next((code for code in codes if code), 0) or publish(folders)


def publish(folders: Sequence[Path]) -> int:
    """The study, which is this call's alone, and its report. Returns an exit code."""
    with study_lock():
        with replaced_folder(STUDY) as draft:
            for folder in folders:
                shutil.copytree(folder / "score", draft / folder.name)
        return report()


def report() -> int:
    """Of the study, and of the tournament where there is one. Returns an exit code."""
    beside = [f"tournament={TOURNAMENT}"] if TOURNAMENT.is_dir() else []
    return credit(["report", str(STUDY), *beside, f"out={REPORT}"])


def cost_lines(jobs: Sequence[Job], numbers: Numbers, cores: int) -> list[str]:
    """What the runs, the oracles and all of it are expected to take."""
    from flows.windows.terminal import duration

    todo = [job for job in jobs if not is_finished(job.config)]
    trains, oracles = core_seconds(todo), [oracle_seconds(job.config.experiment, numbers) for job in jobs]
    plays = (
        f"{job.config.experiment.benchmark.name} {duration(each)}" for job, each in zip(jobs, oracles, strict=True)
    )
    scores = len(jobs) * _ITERATIONS * numbers.steps * _SCORED_STEP_S
    return [
        f"{len(todo)} of {len(jobs)} runs to train: about {duration(trains)} of one core",
        f"their oracles, of one core, at most: {', '.join(plays)}; gradients, replay and scores: about {duration(scores)}",
        f"all on {cores} cores of their own: about {duration((trains + sum(oracles) + scores) / min(cores, len(jobs)))}; what is done "
        "already is not done again",
    ]


def oracle_seconds(experiment: ExperimentConfig, numbers: Numbers) -> float:
    """Of one core, before the run is there to tell its lengths: every step has two prefixes of its own, and every continuation half of
    the longest episode before it."""
    played = _ITERATIONS * 2 * numbers.steps * numbers.continuations * experiment.benchmark.max_steps / 2
    return played * step_seconds(experiment)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
