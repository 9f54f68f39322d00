"""``make audit``: known weaknesses of everything that is pinned, by pip-audit, with PyPI's data or else OSV's.

0: none is known. 1: some are, and are named. 3: some pins, or all, could not be checked, and nothing is known of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

# Of one pin: where nothing is known of it, the others would be asked for in vain.
_FIRST = Path("requirements/torch.txt")
_SERVICES = ("pypi", "osv")
_PIP_AUDIT = Path(sys.executable).with_name("pip-audit")
Pin = dict[str, Any]


def main() -> int:
    weak = unknown = 0
    for lock in [_FIRST, *sorted(set(_FIRST.parent.glob("*.txt")) - {_FIRST})]:
        checked, skipped, why = _asked(lock)
        if not checked:
            print(f"{lock}: NOT CHECKED, neither by PyPI's data nor by OSV's: {why}", flush=True)
            if lock == _FIRST:
                print("nothing was checked, and nothing is known either way")
                return 3
        found = [pin for pin in checked if pin["vulns"]]
        if checked:
            print(f"{lock}: {len(checked)} pins checked, {len(found)} with a known weakness", flush=True)
        if checked and skipped:
            print(f"  not checked: {', '.join(skipped)}")
        for pin in found:
            for each in pin["vulns"]:
                mended = ", ".join(each["fix_versions"]) or "none"
                print(f"  {pin['name']} {pin['version']}: {each['id']}, mended in {mended}")
        weak += len(found)
        unknown += len(skipped) + (not checked)
    return 1 if weak else 3 if unknown else 0


def _asked(lock: Path) -> tuple[list[Pin], list[str], str]:
    """By the first service that knows any: the pins with their weaknesses, the names of those that it does not know, and what was
    said last where none does. One that is not reached may say of each pin that there is no such package, and end well."""
    why = ""
    for service in _SERVICES:
        command = [str(_PIP_AUDIT), "-r", str(lock), "--no-deps", "--disable-pip", "-s", service, "-f", "json"]
        done = subprocess.run([*command, "--progress-spinner=off"], capture_output=True, text=True)
        try:
            pins: list[Pin] = json.loads(done.stdout)["dependencies"]
        except (ValueError, KeyError):
            why = (done.stderr.strip().splitlines() or [f"pip-audit ended with {done.returncode}"])[-1]
            continue
        if checked := [pin for pin in pins if "vulns" in pin]:
            return checked, [pin["name"] for pin in pins if "vulns" not in pin], ""
        why = "they know none of its packages, or cannot be reached from here"
    return [], [], why


if __name__ == "__main__":
    sys.exit(main())
