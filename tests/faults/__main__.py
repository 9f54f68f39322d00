"""``make faults``, kills, and ``make fuzz``, the other parts, at length.

python -m tests.faults                         # all parts
python -m tests.faults kills --kills 200       # one, shorter
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from pipelines.registry import benchmark_names
from tests.faults.found import Found, Tick
from tests.faults.scenarios.child import SCENARIOS

# Part → (module:function, how often).
PARTS = {
    "kills": ("tests.faults.kills:kill_runs", 960),
    "sweeps": ("tests.faults.sweeps:kill_sweeps", 40),
    "scenarios": ("tests.faults.scenarios.run:try_scenarios", 1),
    "outputs": ("tests.faults.outputs:fuzz_outputs", 1_000_000),
    "overrides": ("tests.faults.overrides:fuzz_overrides", 100_000),
    "files": ("tests.faults.files:fuzz_files", 10_000),
    "tensors": ("tests.faults.tensors:fuzz_tensors", 100_000),
}
_OF_EACH = {"outputs": "benchmark", "files": "reader", "scenarios": "of them"}


def main(arguments: Sequence[str]) -> int:
    """1 where something differed, crashed, hung or grew; what it was is kept in the folder that is named."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if unknown := set(asked.parts) - PARTS.keys():
        parser.error(f"no part {', '.join(sorted(unknown))}; known: {', '.join(PARTS)}")
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    found = []
    for name in asked.parts or PARTS:
        found += _part(name, getattr(asked, name), asked.seed, folder / name)
    Console(width=160).print(_table(found))
    if faults := [fault for part in found for fault in part.faults]:
        print(*faults, f"what was left is in {folder}", sep="\n")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("parts", nargs="*", help="all by default", metavar="|".join(PARTS))
    for name, (_, count) in PARTS.items():
        each = f" of each {_OF_EACH[name]}" if name in _OF_EACH else ""
        parser.add_argument(f"--{name}", type=int, default=count, metavar="N", help=f"how many{each} ({count:,})")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def _part(name: str, count: int, seed: int, folder: Path) -> list[Found]:
    module, _, function = PARTS[name][0].partition(":")
    run: Callable[[int, int, Path, Tick], Iterable[Found]] = getattr(import_module(module), function)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    began, found = time.monotonic(), list[Found]()
    with Progress(*columns) as progress:
        bar = progress.add_task(name, total=count * _pieces(name))
        for piece in run(count, seed, folder, lambda n: _advance(progress, bar, n)):
            print(piece, flush=True)  # as it comes: a part may take hours
            found.append(piece)
    print(f"{name}: {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    return found


def _advance(progress: Progress, bar: TaskID, count: int) -> None:
    """Where no terminal shows the bar, a line after each tenth."""
    task = progress.tasks[bar]
    before, total = task.completed, task.total or 1
    progress.advance(bar, count)
    if not progress.console.is_terminal and int(10 * before / total) < int(10 * task.completed / total):
        print(f"{task.description}: {task.completed:,.0f} of {total:,.0f}", flush=True)


def _pieces(name: str) -> int:
    """How many times a part's number it does."""
    if name == "outputs":
        return len(benchmark_names())
    if name == "files":
        return len(import_module("tests.faults.files").READERS)
    return len(SCENARIOS) if name == "scenarios" else 1


def _table(found: Sequence[Found]) -> Table:
    table = Table("what", "times", "faults", "of which")
    for part in found:
        table.add_row(part.what, f"{part.done:,}", str(len(part.faults)), part.detail)
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
