"""Some scenarios by their names, as ``python -m tests.faults.scenarios [in=<folder>] prefect_hung disk_full``; without names, which
there are. What all begin with is made in the folder, once."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.faults.scenarios.child import SCENARIOS
from tests.faults.scenarios.run import try_scenarios


def main(names: list[str]) -> int:
    chosen = [name.removeprefix("in=") for name in names if name.startswith("in=")]
    names = [name for name in names if not name.startswith("in=")]
    if not names or (unknown := set(names) - SCENARIOS.keys()):
        print(*(f"{name}: {(known.__doc__ or '').strip()}" for name, known in SCENARIOS.items()), sep="\n")
        return 0 if not names else _refuse(unknown)
    folder = Path(*chosen) if chosen else Path(tempfile.mkdtemp(prefix="scenarios-"))
    began = time.monotonic()
    faults = 0
    for part in try_scenarios(1, 0, folder, lambda n: None, names):
        print(part, flush=True)
        faults += len(part.faults)
    print(f"{time.monotonic() - began:.0f} s, in {folder}")
    return 1 if faults else 0


def _refuse(unknown: set[str]) -> int:
    print(f"no scenario {', '.join(sorted(unknown))}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
