"""``python -m pipelines.reporting tables|table --runs FOLDER --out FOLDER``: the stages of dvc.yaml."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipelines.errors import PlatformError


def main() -> int:
    options = _parser().parse_args()
    from pipelines.reporting import report

    try:
        if options.what == "table":
            report.write_study_table(options.name, options.runs, options.settings, options.out)
        else:
            report.write_tables(options.runs, options.settings, options.out)
    except PlatformError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    from pipelines.reporting.specification import specifications

    parser = argparse.ArgumentParser(prog="python -m pipelines.reporting", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    table = commands.add_parser("table", help="one of the paper's tables, from the runs of a study")
    table.add_argument("name", choices=list(specifications()))
    tables = commands.add_parser("tables", help="the table of one benchmark's and model's runs")
    for command in (table, tables):
        command.add_argument(
            "--runs", type=Path, required=True, help="folder with finished runs' results, at any depth"
        )
        command.add_argument(
            "--settings", type=Path, required=True, help="what `python -m flows.paper_settings FILE` wrote"
        )
        command.add_argument("--out", type=Path, required=True, help="folder to write to")
    return parser


if __name__ == "__main__":
    sys.exit(main())
