"""How much memory a piece of work needs beyond its inputs, measured in a process of its own."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from typing import TypeVar

Inputs = TypeVar("Inputs")


def peak_bytes(make_inputs: Callable[..., Inputs], work: Callable[[Inputs], object], *sizes: int) -> int:
    """The highest resident memory of a fresh process during ``work(make_inputs(*sizes))``, minus what it held just before the
    work. Both must be functions of a module, to be found again there. Libraries are warm only as far as making the
    inputs warms them: what the work loads or packs counts."""
    command = [sys.executable, "-m", "benchmarks.peak_memory", work.__module__, make_inputs.__name__, work.__name__]
    command += map(str, sizes)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout.split()[-1])


def _main(module: str, make_inputs: str, work: str, *sizes: str) -> None:
    import psutil

    found = import_module(module)
    inputs = getattr(found, make_inputs)(*map(int, sizes))
    before = psutil.Process().memory_info().rss
    result = getattr(found, work)(inputs)
    unit = 1 if sys.platform == "darwin" else 1024
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before)
    del result


if __name__ == "__main__":
    _main(*sys.argv[1:])
