"""``make grid``: a launch of the paper's cells, then its tables, figures and report.

Its results go to ``results/grid``, beside those of earlier grids: tables may be run one after the other. What is done already is not
run again."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from flows.__main__ import launch, show
from flows.exits import exit_code, leave
from flows.launch.command import read_command
from flows.launch.jobs import Job
from flows.publish import archive, publish, study_lock
from flows.windows.ending import show_end
from flows.windows.terminal import duration
from pipelines.errors import ConfigError, DataError
from pipelines.reporting.comparable import Planned, check_study, planned_study
from pipelines.run_folder import is_finished

_USAGE = """usage: python -m flows.grid '+experiment=glob(table1/*)' seed=0,1,2 scale=laptop

The launch of `python -m flows -m` with the same overrides; then results/grid (the results, for git), archive/grid
(trajectories and checkpoints, for `dvc push`), and by DVC reports/grid (tables, figures, report.html)."""
_STUDY = Path("results/grid")


@exit_code
def main(overrides: Sequence[str]) -> int:
    """Returns the launch's exit code, or 1 if what follows it failed. The tables say what is missing: runs that failed keep no
    others from them."""
    if {"-h", "--help"} & set(overrides) or not overrides:
        print(_USAGE)
        return 0 if overrides else 2
    command = read_command(["-m", *overrides])
    if command.shows:
        return show(command)
    start = time.monotonic()
    with study_lock():
        check_fits_study(command.jobs, _STUDY)
    code = launch(command)
    finished = [job for job in command.jobs if is_finished(job.config)]
    missing = len(command.jobs) - len(finished)
    if finished:
        report = _publish(finished)
        print(f"took {duration(time.monotonic() - start)}\n")
        show_end(command.jobs, report / "report.html")
    if missing:
        what = (
            f"the tables lack {missing} of {len(command.jobs)} runs"
            if finished
            else "no run is finished, there are no tables"
        )
        print(f"error: {what}: the same launch again runs them", file=sys.stderr)
    return code or int(missing > 0)


def check_fits_study(jobs: Sequence[Job], study: Path) -> None:
    """Raises ConfigError when the study's tables would refuse these runs beside those that it has. Called before they run."""
    planned = [Planned(job.folder, job.config.experiment.values()) for job in jobs]
    names = {run.folder.parts[-2:] for run in planned}
    others = [run for run in planned_study(study) if run.folder.parts[-2:] not in names]
    try:
        check_study([*others, *planned])
    except DataError as error:
        remedy = "launch without tables: python -m flows -m …"
        if f"{study}/" in str(error):
            remedy = f"remove from {study} what is to give way (git keeps what is committed), or {remedy}"
        raise ConfigError(
            f"{study} and this launch are not one study, its tables would be refused: {error}; {remedy}"
        ) from None


def _publish(jobs: Sequence[Job]) -> Path:
    """Returns the report's folder."""
    configs = [job.config for job in jobs]
    with study_lock():
        report = publish(configs, "grid")
        print(f"tables:  {report / 'tables'}   figures: {report / 'figures'}", flush=True)
        archived = archive(configs, "grid")
    print(f"played:  {archived} (tracked by DVC; `dvc push` sends it, and the last checkpoints, to its remote)")
    return report


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
