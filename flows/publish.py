"""What follows a launch: its results collected, and made into tables and figures by DVC."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pipelines.archive import archive_run
from pipelines.config import RunConfig
from pipelines.errors import PlatformError
from pipelines.reporting.report import collect
from pipelines.run_folder import run_folder

# The last demo's results come and go, so DVC tracks them; the others' are kept in git, in every clone.
# What `dvc repro` makes of each study: a file's stages, or one of dvc.yaml's.
_TARGETS = {"demo": "demo/dvc.yaml", "grid": "dvc.yaml", "real": "real"}
_BUSY = re.compile(r"is busy, it is being blocked by:\s*\(PID (\d+)\): (.+)")


class StudyError(PlatformError):
    """DVC could not track or rebuild the study."""


@contextmanager
def study_lock() -> Iterator[None]:
    """Hold what all launches of a folder share: ``results``, ``archive`` and ``reports``. Waits for whoever has them. The lock is
    the operating system's: it goes when its process dies."""
    from filelock import FileLock, Timeout

    results = Path("results")
    results.mkdir(exist_ok=True)
    lock = FileLock(results / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("another launch is making its tables in this folder: waiting for it", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def publish(configs: Sequence[RunConfig], study: Literal["demo", "grid", "real"]) -> Path:
    """Collect the results of these finished runs and rebuild the study's tables and figures; returns ``reports/<study>``. A study is
    the last launch's alone; but the grid keeps what earlier ones collected, for its tables may be run one after the other.

    Raises:
        StudyError: DVC failed; the message is its stage's error, or its last line.
    """
    if study != "grid":
        shutil.rmtree(Path("results") / study, ignore_errors=True)
    collect([run_folder(config) for config in configs], Path("results") / study)
    if study == "demo":
        _dvc("add", "results/demo")
    _dvc("repro", _TARGETS[study])
    return Path("reports") / study


def archive(configs: Sequence[RunConfig], study: str) -> Path:
    """Gather these finished runs' trajectories and last checkpoints in ``archive/<study>``, tracked by DVC, so that ``dvc
    push`` sends them to its remote; returns that folder.

    Raises:
        DataError: the artifact store has lost some.
        StudyError: DVC failed.
    """
    folder = Path("archive") / study
    for config in configs:
        run = run_folder(config)
        archive_run(run, config.execution.artifacts, folder / run.parent.name / run.name)
    _dvc("add", str(folder))
    return folder


def _dvc(*arguments: str) -> None:
    # The stages' "python" is the one that runs this.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        env={**_own_notes(), **os.environ, "PATH": path},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise StudyError(f"dvc {' '.join(arguments)} failed: {_cause(done.stderr or done.stdout)}")


def _own_notes() -> dict[str, str]:
    """Where DVC shall keep what it remembers of files: pickles, which it reads by itself from a folder that every user of the machine
    may write to (/var/tmp/dvc)."""
    notes = Path(".dvc/tmp/site").absolute()
    if not Path(".dvc").is_dir():
        return {}
    (notes / "repo").mkdir(parents=True, exist_ok=True)
    notes.chmod(0o700)
    return {"DVC_SITE_CACHE_DIR": str(notes)}


def _cause(output: str) -> str:
    """What was wrong, in one line, by the output of a DVC that failed."""
    if busy := _BUSY.search(output):
        # DVC's last line speaks of removing the lock: of a process that is gone, DVC has removed it itself.
        return f"process {busy[1]} ({busy[2].strip()}) is at work on the same files: wait for it, or stop it, and launch again"
    lines = output.strip().splitlines() or ["no output"]
    # A stage's own line names the cause; DVC's last line only says that a command failed.
    return next((line for line in lines if line.startswith("error: ")), lines[-1]).removeprefix("error: ")
