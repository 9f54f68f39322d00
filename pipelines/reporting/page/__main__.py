"""``python -m pipelines.reporting.page --runs FOLDER --report FOLDER``: FOLDER/report.html from a study's results, tables and
figures; a stage of dvc.yaml."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipelines.errors import PlatformError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m pipelines.reporting.page", description=__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="folder with finished runs' results, at any depth")
    parser.add_argument("--report", type=Path, required=True, help="the study's folder with tables/ and figures/")
    options = parser.parse_args()
    from pipelines.reporting.page.build import write_page

    try:
        write_page(options.runs, options.report)
    except PlatformError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
