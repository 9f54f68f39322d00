"""``make study``: ``python -m flows.study [hours=8] [registration=studies/second.yaml] [plan=true]``

hours         2 or 8, or whatever sizes the registration has
registration  the study's YAML: what is compared, how it is tested, how large it is. It is hashed into results/study/<name>-<hours>h
              before the first run, and a change of it afterwards is refused. One that has its verdict shows it, and runs nothing
plan          true: say what the study would take and tell, and start nothing

How to launch may be said too (hydra.launcher.n_jobs=1, execution.…, tracker=[]). The same command goes on with what is missing. When
the last run is finished the verdict is written into reports/study/<name>-<hours>h, and not before: a study is looked at once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from flows.__main__ import launch
from flows.exits import exit_code, leave, shows_help
from flows.launch.jobs import core_seconds, in_blocks
from flows.publish import study_lock
from flows.streams import say
from flows.study.plan import Plan, plan_of
from flows.study.register import register
from flows.study.said import plan_lines, unmet
from flows.windows.terminal import duration
from pipelines.errors import ConfigError
from pipelines.reporting.study.results import Registered, judged, read_registered
from pipelines.run_folder import is_finished

RESULTS, REPORTS = Path("results/study"), Path("reports/study")
_HOW = ("execution.", "hydra.", "hydra/", "tracker=")
_HERE = "hydra/launcher=processes"
_USAGE = "usage: python -m flows.study [hours=8] [registration=studies/second.yaml] [plan=true]"


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 once there is a verdict, whatever it says."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if shows_help(arguments, __doc__):
        return 0
    plan, only_plan = _asked(arguments)
    folder = RESULTS / plan.name
    if not only_plan and (over := judged(plan.content, folder)) is not None:
        return _show_verdict(plan, over)
    todo = [job for job in plan.jobs if not is_finished(job.config)]
    say(*plan_lines(plan, core_seconds(todo)))
    if lacking := unmet(plan):
        raise ConfigError(lacking)
    if only_plan:
        return 0
    with study_lock():
        registered = register(plan, folder)
    print(f"registered {registered.registered}: {folder} (SHA-256 {registered.registration[:12]})", flush=True)
    start = time.monotonic()
    code = launch(plan.command, in_blocks)
    if missing := sum(not is_finished(job.config) for job in plan.jobs):
        print(
            f"error: no verdict: {missing} of {len(plan.jobs)} runs are missing; the same command goes on",
            file=sys.stderr,
        )
        return code or 1
    print(f"took {duration(time.monotonic() - start)}\n", flush=True)
    _publish(plan, registered)
    return code


def _asked(arguments: Sequence[str]) -> tuple[Plan, bool]:
    """Raises ConfigError: a key that nobody knows or that is given twice, or a value that is none."""
    given = {"hours": "8", "registration": "studies/second.yaml", "plan": "false"}
    how, seen = [argument for argument in arguments if argument.startswith(_HOW)], set[str]()
    for key, _, value in (argument.partition("=") for argument in arguments if argument not in how):
        if key not in given:
            raise ConfigError(f"{key}={value}: unknown key; what is run stands in the registration alone; {_USAGE}")
        if key in seen:
            raise ConfigError(f"{key}={value}: given twice; {_USAGE}")
        seen.add(key)
        given[key] = value
    if not (given["hours"].isascii() and given["hours"].isdecimal()):
        raise ConfigError(f"hours={given['hours']}: give a whole number; {_USAGE}")
    if elsewhere := [launcher for launcher in how if launcher.startswith("hydra/launcher=") and launcher != _HERE]:
        raise ConfigError(
            f"{elsewhere[0]}: a study is registered on the kind of machine that launches it, and a cluster's nodes may be others: "
            "launch it on one node, without hydra/launcher"
        )
    if given["plan"] not in ("true", "false"):
        raise ConfigError(f"plan={given['plan']}: give true or false; {_USAGE}")
    return plan_of(Path(given["registration"]), int(given["hours"]), how), given["plan"] == "true"


def _publish(plan: Plan, registered: Registered) -> None:
    """The results in tables for git, then the verdict from these alone. Raises ConfigError: another launch has registered otherwise."""
    from flows.study.gathered import gathered
    from pipelines.reporting.study.results import write_played

    folder = RESULTS / plan.name
    with study_lock():
        if (now := read_registered(folder)) != registered:
            raise ConfigError(
                f"no verdict: {folder} was registered anew ({now.registered}, SHA-256 {now.registration[:12]}) while this launch "
                f"ran, which had registered {registered.registration[:12]} at {registered.registered}: give the command of the "
                "one that stands"
            )
        write_played(folder, gathered(plan, folder))
    _judge(plan)


def _show_verdict(plan: Plan, registered: Registered) -> int:
    """Of a study that is over, whatever the code and the machine have become since."""
    print(
        f"{plan.name} has its verdict: registered {registered.registered} at commit {registered.commit[:12]}; no run is made again\n",
        flush=True,
    )
    _judge(plan)
    return 0


def _judge(plan: Plan) -> None:
    from pipelines.reporting.rendering import show
    from pipelines.reporting.study.page import write_verdict

    folder, report = RESULTS / plan.name, REPORTS / plan.name
    with study_lock():
        tables, said = write_verdict(folder, report)
    show(tables)
    say("", *said)
    print(f"\nverdict: {report}/verdict.html, .md, .csv\nresults: {folder} (for git)", flush=True)


if __name__ == "__main__":
    leave(main())
