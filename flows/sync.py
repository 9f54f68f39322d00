"""``python -m flows.sync``: complete the trackers' pages of finished runs, where a tracker could not be told everything, and end
those of runs and launches whose process was killed.

Overrides choose the folder of runs and the trackers, as for a launch: ``execution.runs=…``, ``tracker=[…]``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from flows.configure.compose import compose
from flows.exits import exit_code, leave, shows_help


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 1 where a page still is not whole."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if shows_help(given, __doc__):
        return 0
    config = compose(given)
    from flows.windows.killed_pages import end_killed_pages
    from flows.windows.owed_pages import complete_pages

    waiting = 0
    for told, pages in (("completed", complete_pages(config)), ("killed", end_killed_pages(config))):
        for folder, whole in pages:
            print(f"{told if whole else 'still waits'}: {folder}", flush=True)
            waiting += not whole
    return 1 if waiting else 0


if __name__ == "__main__":
    leave(main())
