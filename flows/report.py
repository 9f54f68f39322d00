"""``python -m flows.report runs=<folder> [out=<folder>]``: the report of the finished runs below a folder.

runs  a folder with runs at any depth: runs, runs/<cell>, results/grid; or a pattern of such folders, in quotes: 'runs/smoke-*'
out   what is written: tables/, figures/ and report.html, one page that needs no network; a report that lies there is replaced.
      Default: reports/<name of the folder>

Runs that cannot be compared (of two scales, or of one cell with two settings) are refused by name: report them apart.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from flows.dvc_outputs import owner_of
from flows.exits import exit_code, leave, shows_help
from flows.launch.folders import check_folder
from flows.paper_settings import paper_settings
from pipelines.errors import ConfigError
from pipelines.files import folders_of

_KEYS = ("runs", "out")
_KNOWN = f"known: {', '.join(_KEYS)}; see python -m flows.report --help"
_WRITTEN = {"tables", "figures", "report.html", "paper_settings.json"}


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if shows_help(arguments, __doc__):
        return 0
    runs, out = _asked(arguments)
    make_report(runs, out)
    print(f"report:  {out / 'report.html'}\ntables:  {out / 'tables'}   figures: {out / 'figures'}")
    return 0


def _asked(arguments: Sequence[str]) -> tuple[Path, Path]:
    """Raises ConfigError: no such folder, a key that nobody knows or that is given twice, or ``out`` is not for a report."""
    given: dict[str, str] = {}
    for key, _, value in (argument.partition("=") for argument in arguments):
        if key not in _KEYS:
            raise ConfigError(f"unknown key {key}; {_KNOWN}")
        if key in given:
            raise ConfigError(f"{key}={given[key]} {key}={value}: give one; {_KNOWN}")
        given[key] = value
    if not given.get("runs"):
        raise ConfigError(f"runs=<folder> is missing; {_KNOWN}")
    runs = Path(given["runs"])
    if not any(folder.is_dir() for folder in folders_of(runs)):
        raise ConfigError(f"runs={runs}: there is no such folder; name one with finished runs, e.g. runs=runs")
    out = Path(given.get("out") or Path("reports", re.sub("[^\\w.-]+", "", runs.resolve().name).strip("-") or "report"))
    _check_out(out)
    return runs, out


def _check_out(out: Path) -> None:
    """All of it is replaced: it is a report's alone, or new."""
    other = f"name another folder, e.g. out=reports/{out.resolve().name}-mine"
    if (owner := owner_of(out)) is not None:
        raise ConfigError(f"out={out} is what DVC makes by {owner} (dvc repro): {other}")
    check_folder("out", out)
    if foreign := sorted({path.name for path in out.iterdir()} - _WRITTEN):
        raise ConfigError(
            f"out={out} holds what is no report's ({foreign[0]}), and all of it would be replaced: {other}"
        )


def make_report(runs: Path, out: Path) -> None:
    """The table of all cells, the figures and the page, in place of those of before; the same results give the same bytes.

    Raises:
        DataError: there is no finished run, a file is damaged, or two runs cannot be compared; ``out`` is as it was.
    """
    from pipelines.files import replaced_folder, write_json
    from pipelines.reporting.figures import FIGURES, write_figure
    from pipelines.reporting.page.build import write_page
    from pipelines.reporting.report import write_table

    with replaced_folder(out.resolve()) as draft:
        settings = draft / "paper_settings.json"
        write_json(settings, paper_settings())
        write_table("cells", runs, settings, draft / "tables")
        for name in FIGURES:
            write_figure(name, runs, draft / "figures")
        write_page(runs, draft, out.resolve().name)


if __name__ == "__main__":
    leave(main())
