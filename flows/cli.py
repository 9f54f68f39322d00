"""``bin/empg <command> …``: the platform's commands by one name.

  run       a run, or with -m every combination:  empg run algorithm=dapo empg=off seed=1
  plan      what that would need, and whether it fits; starts nothing
  evaluate  play a panel with a run's model or any folder's:  empg evaluate checkpoint=<folder>
  merge     a model folder of a run that trained an adapter
  grid      cells of the paper's tables, then tables, figures and a report
  study     the registered study: its runs, then its verdict:  empg study hours=2
  report    of the finished runs below a folder:  empg report runs=runs
  power     how many seeds and tasks a study needs, by finished runs:  empg power results/grid
  ui        the pages of MLflow and Prefect
  credit    credit of a finished run, by any method
  demo      four cells, two seeds each, and a report
  real      a pretrained model on this machine

empg <command> --help has the rest. Completion: eval "$(empg -sc install=bash)"
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

from flows.exits import exit_code, leave
from pipelines.errors import ConfigError

_MODULES = {
    "run": "flows.__main__", "plan": "flows.__main__", "evaluate": "flows.evaluate", "merge": "flows.merge", "grid": "flows.grid",
    "report": "flows.report", "power": "flows.power",
    "study": "flows.study.__main__", "ui": "flows.ui", "credit": "flows.credit.__main__", "demo": "flows.demo",
    "real": "flows.real",
}  # fmt: skip
_COMPLETE = ("-sc", "--shell-completion")


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the command's exit code."""
    command, *rest = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
    if command in ("-h", "--help"):
        print(__doc__)
        return 0
    if command in _COMPLETE:
        return _complete([command, *rest])
    if command == "--version":
        command, rest = "run", ["--version"]
    if command not in _MODULES:
        close = get_close_matches(command, _MODULES)
        raise ConfigError(
            f"{command}: no such command; {'did you mean ' + close[0] if close else 'known: ' + ', '.join(_MODULES)}"
        )
    code: int = import_module(_MODULES[command]).main([*rest, *(["plan=true"] if command == "plan" else [])])
    return code


def _complete(arguments: list[str]) -> int:
    """The shell asks Hydra, to whom the command's own name says nothing; it is completed here."""
    from flows.__main__ import main as ask_hydra

    sys.argv[0] = "empg"
    if arguments[1:] == ["query=bash"]:
        line = os.environ.get("COMP_LINE", "")
        words = line.split()
        if len(words) < 2 or (len(words) == 2 and not line.endswith(" ")):
            print("\n".join(_MODULES))
            return 0
        os.environ["COMP_LINE"] = line.replace(f" {words[1]}", "", 1)
        os.environ["COMP_POINT"] = str(len(os.environ["COMP_LINE"]))
    return ask_hydra(arguments)


if __name__ == "__main__":
    leave(main())
