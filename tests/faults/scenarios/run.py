"""Runs the scenarios one after the other."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.faults.found import Found, Tick
from tests.faults.scenarios.child import CALM, SCENARIOS, TEMPLATE

# Of their own: mounts, processes (all end with the first) and the users that may do so. sh is that first process, which reaps.
_NAMESPACES = ("unshare", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c")
_LONGEST_S = 1_500


def try_scenarios(count: int, seed: int, folder: Path, tick: Tick, names: Sequence[str] = ()) -> Iterator[Found]:
    """Each of ``names``, by default all, ``count`` times."""
    if refused := _refused():
        lacking = f"they need namespaces of their own, which this machine does not permit ({refused})"
    elif not (folder / CALM).exists():
        lacking = _in_namespaces(TEMPLATE, folder / TEMPLATE)
    else:
        lacking = ""
    if lacking:
        yield Found("scenarios", 0, (lacking,))
        return
    for name in names or SCENARIOS:
        yield _summed(name, [_try(name, folder / f"{name}-{turn}") for turn in range(count)])
        tick(count)


def _try(name: str, folder: Path) -> dict[str, object]:
    if lacking := _in_namespaces(name, folder):
        return {"faults": [lacking], "seen": [], "not_tried": ""}
    told: dict[str, object] = json.loads((folder / "found.json").read_text())
    return told


def _summed(name: str, tries: Sequence[dict[str, object]]) -> Found:
    faults = tuple(f"{name}: {fault}" for one in tries for fault in _texts(one["faults"]))
    if reason := tries[0]["not_tried"]:
        return Found(f"scenario {name}", 0, faults, f"not tried: {reason}")
    return Found(f"scenario {name}", len(tries), faults, "; ".join(_texts(tries[0]["seen"])))


def _texts(values: object) -> list[str]:
    assert isinstance(values, list)
    return [str(value) for value in values]


def _in_namespaces(name: str, folder: Path) -> str:
    """Run it there, in a folder that is new. Returns what went wrong with the process itself, "" for nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    command = f'"{sys.executable}" -m tests.faults.scenarios.child "{name}" "{folder}"; exit $?'
    try:
        done = subprocess.run([*_NAMESPACES, command], capture_output=True, text=True, timeout=_LONGEST_S)
    except subprocess.TimeoutExpired:
        return f"not over after {_LONGEST_S} s"
    return f"its process ended with {done.returncode}: {done.stderr[-1500:]}" if done.returncode else ""


def _refused() -> str:
    try:
        done = subprocess.run([*_NAMESPACES, "exit 0"], capture_output=True, text=True)
    except OSError as error:
        return str(error)
    return done.stderr.strip() or "" if done.returncode else ""
