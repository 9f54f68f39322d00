"""``python -m benchmarks.pairs <old commit> [override …]``: laptop runs of this tree against those of an older commit, in turn.

Compared is CPU time (user and system, of a run's process and its workers), so other work on the machine bears on it little. Data,
model and warm start are made first and not counted; both sides begin with the same weights, by this tree. An override
holds for both, so the old commit must know it: ``python -m benchmarks.pairs 2ec88c5 algorithm=dapo model=qwen2.5_7b``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.__main__ import ENVIRONMENT
from benchmarks.measure import say

ROOT = Path(__file__).parent.parent
BENCHMARKS = ("alfworld", "webshop", "deepsearch")
Seconds = dict[str, float]  # of one run, by stage
Pairs = list[tuple[Seconds, Seconds]]  # old, new


def main(arguments: Sequence[str]) -> None:
    asked = _parse(arguments)
    folder, trees = asked.folder.resolve(), {"old": asked.folder.resolve() / "tree", "new": ROOT}
    if folder.exists() and any(folder.iterdir()):  # its finished runs would be found, and cost nothing
        raise SystemExit(f"error: --folder {folder} is not empty: remove it, or name another")
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "worktree", "add", "--detach", str(trees["old"]), asked.commit], cwd=ROOT, check=True)
    try:
        found = {name: _compare(name, asked, folder, trees) for name in asked.benchmarks}
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(trees["old"])], cwd=ROOT, check=True)
    (folder / "pairs.json").write_text(json.dumps(found, indent=1))
    print("\n".join(line for name, pairs in found.items() for line in table(name, pairs)))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pairs", description=__doc__.partition("\n")[0])
    parser.add_argument("commit", help="what is compared with")
    parser.add_argument("overrides", nargs="*", metavar="override", help="of both sides' runs")
    parser.add_argument("--benchmarks", nargs="+", default=BENCHMARKS, help="default: %(default)s")
    parser.add_argument("--repeats", type=int, default=5, help="pairs of runs, each of a seed (default: %(default)s)")
    parser.add_argument(
        "--iterations", type=int, default=6, help="of a run, which is evaluated before and after (default: %(default)s)"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("pairs"), help="for all that is made (default: %(default)s)"
    )
    return parser.parse_intermixed_args(list(arguments))


def _compare(name: str, asked: argparse.Namespace, folder: Path, trees: dict[str, Path]) -> Pairs:
    def run(side: str, seed: int, iterations: int) -> Seconds:
        every = [f"training.iterations={iterations}", f"evaluation.every={max(iterations, 1)}", f"seed={seed}"]
        where = [f"execution.{key}={folder / side / key}" for key in ("artifacts", "runs")]
        overrides = [f"benchmark={name}", "scale=laptop", *every, *where, *asked.overrides]
        file = folder / f"{side}.json"
        command = [
            sys.executable,
            str(ROOT / "benchmarks" / "pair_side.py"),
            str(file),
            str(folder / "starts"),
            *overrides,
        ]
        subprocess.run(command, cwd=trees[side], env=os.environ | ENVIRONMENT, check=True)
        found: Seconds = json.loads(file.read_text())
        return found

    for side in ("new", "old"):  # the new one's warm start is both's
        say(f"{name}: {side}, what is made once: {run(side, 0, 0)['once']:.0f} CPU s")
    pairs: Pairs = []
    for seed in range(1, asked.repeats + 1):
        sides = ("old", "new") if seed % 2 else ("new", "old")  # a drift favours nobody
        cost = {side: run(side, seed, asked.iterations) for side in sides}
        pairs.append((cost["old"], cost["new"]))
        say(f"{name}: {seed} of {asked.repeats}, {cost['old']['run']:.1f} and {cost['new']['run']:.1f} CPU s")
    return pairs


def table(name: str, pairs: Pairs) -> list[str]:
    """A line for the whole run and for each stage: medians, the median ratio, and its range."""
    lines = []
    for stage in ("run", *(key for key in pairs[0][1] if key not in ("run", "once"))):
        costs = [(old.get(stage, 0.0), new[stage]) for old, new in pairs]
        was, now = (median(side) for side in zip(*costs, strict=True))
        lines.append(f"{name:12s}{stage:12s}{was:8.2f}{now:8.2f} CPU s  {_ratio(costs)}")
    return lines


def _ratio(costs: Sequence[tuple[float, float]]) -> str:
    """A stage may take less than the clock's tick."""
    if not all(new for _, new in costs):
        return "    –"
    ratios = [old / new for old, new in costs]
    return f"{median(ratios):5.2f} × ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main(sys.argv[1:])
