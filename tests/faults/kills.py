"""Runs of every benchmark, killed at random instants until they get through: the same bytes as a run that nobody killed."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from pipelines.registry import benchmark_names
from pipelines.workers import usable_cores
from tests.faults.found import Found, Tick
from tests.pipelines.kills import Launches
from tests.pipelines.runs import digests

_MOST = 16  # kills of one run


def kill_runs(kills: int, seed: int, folder: Path, tick: Tick) -> Iterator[Found]:
    """``kills`` over all benchmarks, each in a thread: what runs are processes of their own. As each is done."""
    names = benchmark_names()
    shares = [kills // len(names) + (place < kills % len(names)) for place in range(len(names))]
    with ThreadPoolExecutor(usable_cores()) as threads:
        calls = [
            threads.submit(_kill_benchmark, name, share, random.Random(f"{name} {seed}"), folder / name, tick)
            for name, share in zip(names, shares, strict=True)
        ]
        for call in as_completed(calls):
            yield call.result()


def _kill_benchmark(name: str, kills: int, rng: random.Random, folder: Path, tick: Tick) -> Found:
    hit, faults = Counter[str](), list[str]()
    with Launches(folder / "whole", name) as launches:
        longest = launches.let_through()
    whole = digests(folder / "whole")
    killed = folder / "killed"
    with Launches(killed, name) as launches:
        while hit.total() < kills:
            for _ in range(min(rng.randint(1, _MOST), kills - hit.total())):
                if not launches.kill_after(rng.uniform(0, longest)):
                    break
                hit[_being_made(killed)] += 1
                tick(1)
            launches.let_through()
            if found := differing(whole, digests(killed)):
                kept = shutil.move(killed, folder / f"differs-after-{hit.total()}")
                faults.append(f"{kept}: {found}")
            else:
                shutil.rmtree(killed)
    where = ", ".join(f"{stage} {n}" for stage, n in hit.most_common())
    return Found(f"kills of {name}'s runs", hit.total(), tuple(faults), where)


def _being_made(root: Path) -> str:
    """The stage whose draft a killed run left last, or "between stages"."""
    drafts = sorted((root / "artifacts").glob("*/.draft*"), key=lambda draft: draft.stat().st_mtime)
    return drafts[-1].parent.name if drafts else "between stages"


def differing(whole: dict[str, str], after: dict[str, str]) -> str:
    """The files that differ, are missing or were not there, "" for none. Drafts are nobody's: the workers of a killed run may write
    one more file into a draft that a later launch swept, and the next launch removes it."""
    names = sorted(
        name for name in whole.keys() | after.keys() if whole.get(name) != after.get(name) and "/.draft-" not in name
    )
    return f"{len(names)} files differ: {', '.join(names[:3])}" if names else ""
