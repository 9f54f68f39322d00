"""``python -m flows.report runs=<folder> [out=<folder>]``: the report of the finished runs below a folder.

runs  a folder with runs at any depth: runs, runs/<cell>, results/grid
out   what is written: tables/, figures/ and report.html, one page that needs no network. Default: reports/<name of the folder>

Runs that cannot be compared (of two scales, or of one cell with two settings) are refused by name: report them apart.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from flows.exits import exit_code, leave
from flows.launch.folders import check_folder
from flows.paper_settings import paper_settings
from pipelines.errors import ConfigError

_KEYS = ("runs", "out")


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    runs, out = _asked(arguments)
    make_report(runs, out)
    print(f"report:  {out / 'report.html'}\ntables:  {out / 'tables'}   figures: {out / 'figures'}")
    return 0


def _asked(arguments: Sequence[str]) -> tuple[Path, Path]:
    """Raises ConfigError: no such folder, or a key that nobody knows."""
    given = dict(argument.partition("=")[::2] for argument in arguments)
    unknown = next((key for key in given if key not in _KEYS), None)
    if unknown is not None or not given.get("runs"):
        wrong = f"unknown key {unknown}" if unknown is not None else "runs=<folder> is missing"
        raise ConfigError(f"{wrong}; known: {', '.join(_KEYS)}; see python -m flows.report --help")
    runs = Path(given["runs"])
    if not runs.is_dir():
        raise ConfigError(f"runs={runs}: there is no such folder; name one with finished runs, e.g. runs=runs")
    out = Path(given.get("out") or Path("reports", runs.resolve().name))
    check_folder("out", out)
    return runs, out


def make_report(runs: Path, out: Path) -> None:
    """The table of all cells, the figures and the page; the same results give the same bytes.

    Raises:
        DataError: there is no finished run, a file is damaged, or two runs cannot be compared.
    """
    from pipelines.files import write_json
    from pipelines.reporting.figures import FIGURES, write_figure
    from pipelines.reporting.page.build import write_page
    from pipelines.reporting.report import write_table

    settings = out / "paper_settings.json"
    out.mkdir(parents=True, exist_ok=True)
    write_json(settings, paper_settings())
    write_table("cells", runs, settings, out / "tables")
    for name in FIGURES:
        write_figure(name, runs, out / "figures")
    write_page(runs, out)


if __name__ == "__main__":
    leave(main())
