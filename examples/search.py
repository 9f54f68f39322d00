"""A search over settings with Optuna: it asks for a learning rate and EMPG's ζ, the platform answers with runs.

    make setup-search
    python -m examples.search --trials 12                  # the platform's defaults otherwise
    python -m examples.search --trials 3 scale=smoke       # a minute or two each, and nothing is learnt

What is maximised is the mean success of the rollouts of the last half of the iterations, over two seeds: the held-out panel is not
chosen by. The same command goes on where it was stopped: Optuna's study lies in search.db, and a run that is done is not repeated.
"""

from __future__ import annotations

import argparse
import sys

from filelock import FileLock, Timeout

try:
    import optuna
    from optuna.distributions import FloatDistribution
    from optuna.trial import TrialState
except ImportError:
    sys.exit("error: Optuna is not installed: make setup-search")

from flows.__main__ import launch
from flows.exits import exit_code, leave
from flows.launch.command import read_command
from pipelines.reporting.results import read_run

SPACE = {
    "training.learning_rate": FloatDistribution(1e-4, 5e-3, log=True),
    "empg.zeta": FloatDistribution(0.0, 0.3),
}
SEEDS = "0,1"


@exit_code
def main(arguments: list[str]) -> int:
    """Returns the exit code of the first launch that failed, else 0."""
    parser = argparse.ArgumentParser(prog="python -m examples.search", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--trials", type=int, default=12, metavar="N", help="how many in all")
    parser.add_argument("overrides", nargs="*", help="of the runs, e.g. benchmark=webshop")
    asked = parser.parse_args(arguments)
    if asked.trials < 1:
        parser.error(f"--trials {asked.trials}: at least 1")
    try:
        with FileLock("search.db.lock", timeout=0):
            return search(asked.trials, asked.overrides)
    except Timeout:
        parser.error("another search writes search.db in this folder: wait for it, or search elsewhere")


def search(trials: int, overrides: list[str]) -> int:
    """Until so many trials are done, those of before included."""
    study = optuna.create_study(
        storage="sqlite:///search.db", study_name=" ".join(sorted(overrides)) or "defaults", direction="maximize", load_if_exists=True,
    )  # fmt: skip
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials))  # the same seed would ask the first points again
    for stopped in study.get_trials(states=[TrialState.RUNNING]):  # by Ctrl-C, say: its runs go on
        study.tell(stopped.number, state=TrialState.FAIL)
        study.enqueue_trial(stopped.params)
    while len(study.get_trials(states=[TrialState.COMPLETE])) < trials:
        trial = study.ask(SPACE)
        code, success = answer([*overrides, *(f"{name}={value!r}" for name, value in trial.params.items())])
        if code:
            return code
        study.tell(trial, success)
        print(f"trial {trial.number}: {success:.3f} with {trial.params}; best {study.best_value:.3f}", flush=True)
    print(f"best of {trials}: {study.best_value:.3f} with {study.best_params}")
    return 0


def answer(overrides: list[str]) -> tuple[int, float]:
    """Launch the runs of a trial. Returns the launch's exit code, and the mean success of their late rollouts."""
    command = read_command(["-m", *overrides, f"seed={SEEDS}"])
    if code := launch(command):
        return code, float("nan")
    late = []
    for job in command.jobs:
        success = read_run(job.folder / "results").metrics["rollout/success"].dropna()
        late.append(success.iloc[len(success) // 2 :].mean())
    return 0, sum(late) / len(late)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
