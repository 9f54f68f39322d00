"""One scenario's folder and launches, and what is found wrong with them."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.faults.kills import differing
from tests.flows.test_command_line import environment
from tests.pipelines.runs import digests

RUN = ("scale=smoke", "training.iterations=3", "benchmark.max_steps=2", "seed=0")
DATABASE = "mlflow.db"
WORK = "work"  # the launches' working folder, below the scene's
WAITS_S = 30.0  # for servers, of one launch
DEADLINE_S = 240.0
# What a launch may write to standard error where that is no terminal; all else is a library's.
_OURS = re.compile(
    r"(warning|error|interrupted): |interrupted$|starting Prefect$|\S+/seed\d+: |all: |[┏┃┡│└]|\d+ of \d+ runs failed:$|"
    r"the same launch again |$"
)
_COMPARED = ("rollout/", "evaluation/", "update/", "entropy/", "credit/")  # of a page: what is no time


class NotTried(Exception):
    """The machine does not let the scenario be tried; the text says why."""


@dataclass(frozen=True)
class Limits:
    """Of a launch and all that it starts, in bytes."""

    address_space: int | None = None
    file_size: int | None = None

    def set(self) -> None:
        for which, limit in ((resource.RLIMIT_AS, self.address_space), (resource.RLIMIT_FSIZE, self.file_size)):
            if limit is not None:
                resource.setrlimit(which, (limit, limit))


class Launch:
    """A command of the platform's, in a group of its own. ``said``: the file with its standard error."""

    def __init__(self, command: list[str], folder: Path, said: Path, told: Mapping[str, str], limits: Limits) -> None:
        self.said, self.began = said, time.monotonic()
        with said.open("w") as file:
            self.process = subprocess.Popen(
                command, cwd=folder, env={**environment(), **told}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=file, start_new_session=True, preexec_fn=limits.set,
            )  # fmt: skip

    def signal_group(self, which: int) -> None:
        os.killpg(self.process.pid, which)

    def is_over(self) -> bool:
        return self.process.poll() is not None


@dataclass(frozen=True)
class Calm:
    """The run that nothing disturbed: its files' ``digests``, its ``page`` in MLflow, and the ``seconds`` that its launch took."""

    digests: Mapping[str, str]
    page: object
    seconds: float


@dataclass
class Scene:
    """``folder``: of this scenario alone; ``template``: where the data and the warm start are made, and the databases. ``faults``: what
    was not as it must be; ``seen``: how each launch ended."""

    folder: Path
    template: Path
    calm: Calm
    faults: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    _launches: int = 0

    @property
    def work(self) -> Path:
        return self.folder / WORK

    def furnish(self, work: Path | None = None) -> Path:
        """The working folder, as the template is; by default the scene's own."""
        return Path(shutil.copytree(self.template, work or self.work, dirs_exist_ok=True))

    def start(
        self,
        *overrides: str,
        work: Path | None = None,
        told: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        module: str = "flows",
    ) -> Launch:
        """The scene's run, or another where ``overrides`` say so."""
        self._launches += 1
        words = overrides if "-m" in overrides or module != "flows" else (*RUN, *overrides)
        command = [sys.executable, "-m", module, *words]
        said = self.folder / f"said-{self._launches}.txt"
        return Launch(command, work or self.work, said, told or {}, limits or Limits())

    def until(self, condition: Callable[[], bool], launch: Launch) -> bool:
        """Wait for it. False, and a fault: it did not come before the launch's end."""
        while not (there := condition()) and not launch.is_over() and time.monotonic() - launch.began < DEADLINE_S:
            time.sleep(0.01)
        if not there:
            self.faults.append(f"it could not be tried: the launch was over before ({launch.said.read_text()[-300:]})")
        return there

    def until_it_plays(self, launch: Launch) -> bool:
        """Until its first rollout is there: it is in the middle of its work."""
        return self.until(lambda: any((self.work / "artifacts" / "rollout").glob("*/record.json")), launch)

    def ends(
        self,
        launch: Launch,
        codes: int | tuple[int, ...] = 0,
        says: str = "",
        says_failing: str = "",
        within_s: float | None = None,
    ) -> int:
        """Wait for the launch's end. Faults: another exit code; no line that matches ``says`` (``says_failing``: where the code is 1);
        a traceback, or a line that is not ours; more than ``within_s``. Returns the code."""
        codes = (codes,) if isinstance(codes, int) else codes
        within_s = self.calm.seconds * 2 + WAITS_S if within_s is None else within_s
        deadline_s = max(DEADLINE_S, within_s)
        try:
            code = launch.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            launch.signal_group(signal.SIGKILL)
            code = launch.process.wait()
            self.faults.append(f"it was not over after {deadline_s:.0f} s")
        took = time.monotonic() - launch.began
        said = launch.said.read_text(errors="replace")
        lines = said.splitlines()
        says = says or (says_failing if code == 1 else "")
        shown = [line for line in lines if says and re.search(says, line)]
        self.seen.append(f"exit {code} after {took:.0f} s{': ' + shown[0] if shown else ''}")
        if code not in codes:
            self.faults.append(f"exit code {code} instead of {' or '.join(map(str, codes))}: {said[-400:]}")
        if says and not shown:
            self.faults.append(f"no line says {says!r}: {said[-400:]}")
        if "Traceback" in said and not (code < 0 and "/flows/" not in said):  # Python was still starting
            self.faults.append(f"a traceback: {said[-800:]}")
        elif strange := [line for line in lines if not _OURS.match(line)]:
            self.faults.append(f"lines of a library: {strange[:3]}")
        if took > within_s:
            self.faults.append(f"it took {took:.0f} s, more than {within_s:.0f}")
        return code

    def continues(self, work: Path | None = None, *, cold: bool = False) -> None:
        """The same launch again, without the fault, gets through, and every byte is that of a run that nothing disturbed."""
        self.ends(self.start(work=work), within_s=self.calm.seconds * 4 + WAITS_S if cold else None)
        self.same_bytes(work, cold=cold)

    def same_bytes(self, work: Path | None = None, *, beside_others: bool = False, cold: bool = False) -> None:
        """``beside_others``: other runs have files there too. ``cold``: the folder did not begin as the template is, which has a run of
        its own."""
        found, expected = digests(work or self.work), dict(self.calm.digests)
        if beside_others:
            found = {name: digest for name, digest in found.items() if name in expected}
        if cold:
            own = digests(self.template).keys() - found.keys()
            expected = {name: digest for name, digest in expected.items() if name not in own}
        if difference := differing(expected, found):
            self.faults.append(difference)

    def page_is_whole(self, work: Path | None = None) -> None:
        if (page := page_of((work or self.work) / DATABASE)) != self.calm.page:
            self.faults.append(f"the page in MLflow lacks something: {str(page)[:200]}")

    def nothing_is_left_running(self) -> None:
        """In this namespace of processes; what was told to end has a moment for it."""
        deadline = time.monotonic() + 15.0
        while (left := others()) and time.monotonic() < deadline:
            time.sleep(0.1)
        if left:
            self.faults.append(f"still running: {[' '.join(process.cmdline())[:120] for process in left]}")

    def server(self) -> int | None:
        """The process of Prefect's server, once it is known."""
        try:
            return int(json.loads((self.work / ".prefect" / "server.json").read_text())["pid"])
        except (OSError, ValueError):
            return None


def others() -> list[psutil.Process]:
    """Processes of this namespace that live, but for its first and this one with what made it."""
    mine = {1, os.getpid(), os.getppid()}
    living = []
    for process in psutil.process_iter():
        try:
            if process.pid not in mine and process.status() != psutil.STATUS_ZOMBIE:
                living.append(process)
        except psutil.NoSuchProcess:
            continue
    return living


def page_of(database: Path, seed: str = "0") -> object:
    """The status of that seed's runs in MLflow, and their numbers; None where they cannot be read."""
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as opened:
            runs = opened.execute(
                "select run_uuid, status from runs where lifecycle_stage = 'active' and run_uuid in "
                "(select run_uuid from tags where key = 'seed' and value = ?)",
                (seed,),
            ).fetchall()
            points = [
                opened.execute("select key, step, value from metrics where run_uuid = ?", (run,)).fetchall()
                for run, _ in runs
            ]
    except sqlite3.Error:
        return None
    kept = [sorted(point for point in of_one if point[0].startswith(_COMPARED)) for of_one in points]
    return [[status for _, status in runs], json.loads(json.dumps(kept))]
