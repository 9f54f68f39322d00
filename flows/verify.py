"""``python -m flows.verify [--repair] [overrides]``: check all artifacts, caches, results and archives of this folder against their
checksums.

What is damaged is named, with what makes it whole, and so is what nothing here can judge. ``--repair`` removes damaged artifacts
and entries of caches, which the next launch makes again, and copies damaged results of studies and archives from what they were
copied from, where that is here and whole. Overrides choose other folders: ``execution.runs=…``, ``execution.artifacts=…``.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from flows.configure.compose import compose
from flows.exits import exit_code, leave, shows_help
from pipelines.errors import ConfigError, PlatformError
from pipelines.verify import Checked, check_all


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 1 where something is damaged that was not mended."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if shows_help(given, __doc__):
        return 0
    unknown = [argument for argument in given if argument.startswith("-") and argument != "--repair"]
    if unknown:
        raise ConfigError(f"unknown option {unknown[0]}; see python -m flows.verify --help")
    execution = compose([argument for argument in given if argument != "--repair"]).execution
    found = check_all(execution.artifacts, execution.runs, Path("results"), Path("archive"))
    count = Counter(_told(checked, repair="--repair" in given) for checked in found)
    mended = f", {count['mended']} mended" if count["mended"] else ""
    print(
        f"{count['whole']} folders whole{mended}, {count['damaged']} damaged, {count['not known']} not known",
        flush=True,
    )
    return 1 if count["damaged"] else 0


def _told(checked: Checked, *, repair: bool) -> str:
    """The folder's state in the end; whatever is not whole is told."""
    if checked.state == "whole":
        return "whole"
    print(f"{checked.state}: {checked.folder}: {checked.why}: {checked.remedy}", flush=True)
    if not repair or checked.mend is None:
        return checked.state
    try:
        failed = checked.mend()
    except (PlatformError, OSError) as error:  # the others can still be mended
        failed = str(error)
    print(f"not mended: {checked.folder}: {failed}" if failed else f"mended: {checked.folder}", flush=True)
    return "damaged" if failed else "mended"


if __name__ == "__main__":
    leave(main())
