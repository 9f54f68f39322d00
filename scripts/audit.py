"""``make audit``: known weaknesses of everything that is pinned, by pip-audit, with PyPI's data or else OSV's.

0: none is known. 1: some are, and are named. 3: neither's data can be reached from here, and nothing is known either way.
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


def main() -> int:
    weak = unknown = 0
    for lock in [_FIRST, *sorted(set(_FIRST.parent.glob("*.txt")) - {_FIRST})]:
        pins = _asked(lock)
        if pins is None:
            print(f"{lock}: NOT CHECKED, neither PyPI's nor OSV's data can be reached from here", flush=True)
            if lock == _FIRST:
                print("nothing was checked, and nothing is known either way")
                return 3
            unknown += 1
            continue
        found = [pin for pin in pins if pin["vulns"]]
        print(f"{lock}: {len(pins)} pins checked, {len(found)} with a known weakness", flush=True)
        for pin in found:
            for each in pin["vulns"]:
                print(
                    f"  {pin['name']} {pin['version']}: {each['id']}, mended in {', '.join(each['fix_versions']) or 'none'}"
                )
        weak += len(found)
    return 1 if weak else 3 if unknown else 0


def _asked(lock: Path) -> list[dict[str, Any]] | None:
    """Each pin with its weaknesses; None: no service knows of all of them. One that is not reached may say of each pin that there is no
    such package, and end well."""
    for service in _SERVICES:
        command = [
            str(_PIP_AUDIT),
            "-r",
            str(lock),
            "--no-deps",
            "--disable-pip",
            "-s",
            service,
            "-f",
            "json",
            "--progress-spinner=off",
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        try:
            pins: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
        except (ValueError, KeyError):
            continue
        if pins and all("vulns" in pin for pin in pins):
            return pins
    return None


if __name__ == "__main__":
    sys.exit(main())
