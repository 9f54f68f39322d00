"""``python -m pipelines.reporting table NAME --runs FOLDER --settings FILE --out FOLDER``: a stage of dvc.yaml."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipelines.errors import PlatformError


def main() -> int:
    options = _parser().parse_args()
    from pipelines.reporting.report import write_table

    try:
        write_table(options.name, options.runs, options.settings, options.out)
    except PlatformError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    from pipelines.reporting.specification import specifications

    parser = argparse.ArgumentParser(prog="python -m pipelines.reporting", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    table = commands.add_parser("table", help="one of the paper's tables, or `cells`: every cell that was run")
    table.add_argument("name", choices=[*specifications(), "cells"])
    table.add_argument("--runs", type=Path, required=True, help="folder with finished runs' results, at any depth")
    table.add_argument("--settings", type=Path, required=True, help="what `python -m flows.paper_settings FILE` wrote")
    table.add_argument("--out", type=Path, required=True, help="folder to write to")
    return parser


if __name__ == "__main__":
    sys.exit(main())
