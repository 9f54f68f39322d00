"""``python -m flows.verify [--repair] [overrides]``: check all artifacts, results and archives of this folder against their checksums.

What is damaged is named, with what makes it again. ``--repair`` removes damaged artifacts and results, so that a launch makes them
again, and copies the others from what is whole. Overrides choose other folders: ``execution.runs=…``, ``execution.artifacts=…``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from flows.configure.compose import compose
from flows.exits import exit_code
from pipelines.errors import ConfigError
from pipelines.verify import Checked, check_all


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 1 where something is damaged that was not mended."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if any(argument in ("-h", "--help") for argument in given):
        print(__doc__)
        return 0
    unknown = [argument for argument in given if argument.startswith("-") and argument != "--repair"]
    if unknown:
        raise ConfigError(f"unknown option {unknown[0]}; see python -m flows.verify --help")
    execution = compose([argument for argument in given if argument != "--repair"]).execution
    found = check_all(execution.artifacts, execution.runs, Path("results"), Path("archive"))
    left, looked_at = 0, 0
    for checked in found:
        looked_at += 1
        if checked.why:
            left += not _tell(checked, repair="--repair" in given)
    print(f"{looked_at} folders checked, {left or 'none'} damaged", flush=True)
    return 1 if left else 0


def _tell(checked: Checked, *, repair: bool) -> bool:
    """Whether it was mended."""
    print(f"damaged: {checked.folder}: {checked.why}: {checked.remedy}", flush=True)
    if not repair or checked.mend is None:
        return False
    checked.mend()
    print(f"mended: {checked.folder}", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
