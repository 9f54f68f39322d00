"""Runs that are killed with SIGKILL inside a stage. A process that has imported everything forks one per kill: starting
Python and importing torch and transformers would cost more than what is killed."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from types import TracebackType

from pipelines.experiment import run_experiment
from tests.pipelines.runs import Quiet, small_config


class Launches:
    """Launches the small run of a benchmark below ``root``, again and again. Use as a context manager."""

    def __init__(self, root: Path, benchmark: str) -> None:
        self._root, self._benchmark = root, benchmark

    def __enter__(self) -> Launches:
        command = [sys.executable, "-m", "tests.pipelines.kills", str(self._root), self._benchmark]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._process.communicate()

    def kill_in(self, stage: str, after_s: float) -> bool:
        """Launch, and kill ``after_s`` after the stage's draft appeared. False when the artifact was whole by then: it is
        removed, so that the next launch has to make it again."""
        folder = self._root / "artifacts" / stage
        made = set(folder.glob("*"))
        run = self._launch()
        while not set(folder.glob(".draft*")) - made:
            os.kill(run, 0)  # it is alive; it ended before the stage: ProcessLookupError
            time.sleep(0.0005)
        time.sleep(after_s)
        os.kill(run, signal.SIGKILL)
        self._said("ended")
        whole = set(folder.glob("[!.]*")) - made
        if stage == "advantage":  # it takes milliseconds: hit or not
            return True
        for artifact in whole:
            shutil.rmtree(artifact)
        return not whole

    def kill_after(self, after_s: float) -> bool:
        """Launch, and kill so long after. False when the run had ended by then."""
        run = self._launch()
        ended, _, _ = select.select([self._process.stdout], [], [], after_s)
        if not ended:
            os.kill(run, signal.SIGKILL)
        self._said("ended")
        return not ended

    def let_through(self) -> float:
        """Launch, and wait until it ended. Returns the seconds that it took, without those of the imports."""
        self._launch()
        began = time.monotonic()
        self._said("ended")
        return time.monotonic() - began

    def _launch(self) -> int:
        assert self._process.stdin is not None
        print("launch", file=self._process.stdin, flush=True)
        return int(self._said("run"))

    def _said(self, word: str) -> str:
        assert self._process.stdout is not None
        first, _, rest = self._process.stdout.readline().strip().partition(" ")
        assert first == word
        return rest


def _serve(root: Path, benchmark: str) -> None:
    """A line on standard input: fork, and run in the child. Says "run <pid>", and "ended" when it was reaped."""
    for package in ("pipelines.policies.local", "pipelines.stages", f"pipelines.environments.{benchmark}"):
        for module in walk_packages(import_module(package).__path__, f"{package}."):
            import_module(module.name)
    config = small_config(root, benchmark)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            try:
                run_experiment(config, Quiet())
            except BaseException:
                traceback.print_exc()
            os._exit(0)
        print("run", child, flush=True)
        os.waitpid(child, 0)
        print("ended", flush=True)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), sys.argv[2])
