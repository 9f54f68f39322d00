"""The stages of dvc.yaml: a table, figures, the summary, or the report of a study; the verdict of a registered one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipelines.errors import PlatformError
from pipelines.reporting.figures import FIGURES, write_figure
from pipelines.terminals import any_terminal


def main() -> int:
    any_terminal()
    options = _options()
    try:
        match options.what:
            case "table":
                from pipelines.reporting.report import write_table

                write_table(options.name, options.runs, options.settings, options.out)
            case "figures":
                for name in options.names or FIGURES:
                    write_figure(name, options.runs, options.out)
            case "summary":
                from pipelines.reporting.summary import write_summary

                write_summary(options.runs, options.out)
            case "page":
                from pipelines.reporting.page.build import write_page

                write_page(options.runs, options.report)
            case "verdict":
                from pipelines.reporting.study.page import write_verdict

                write_verdict(options.runs, options.out)
    except PlatformError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _options() -> argparse.Namespace:
    from pipelines.reporting.specification import specifications

    parser = argparse.ArgumentParser(prog="python -m pipelines.reporting", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    table = commands.add_parser("table", help="one of the paper's tables, or `cells`: every cell that was run")
    table.add_argument("name", choices=[*specifications(), "cells"])
    figures = commands.add_parser("figures", help="figures as PNG, SVG and PDF")
    figures.add_argument("names", metavar="NAME", nargs="*", help=f"default: all ({', '.join(FIGURES)})")
    summary = commands.add_parser("summary", help="metrics.json and curves.csv, for dvc metrics and dvc plots")
    page = commands.add_parser("page", help="report.html from the results, the tables and the figures")
    verdict = commands.add_parser("verdict", help="of a registered study, from its folder in results/study")
    for command in (table, figures, summary, page, verdict):
        command.add_argument(
            "--runs", type=Path, required=True, help="folder with finished runs' results, at any depth"
        )
    table.add_argument("--settings", type=Path, required=True, help="what `python -m flows.paper_settings FILE` wrote")
    for command in (table, figures, summary, verdict):
        command.add_argument("--out", type=Path, required=True, help="folder to write to")
    page.add_argument("--report", type=Path, required=True, help="the study's folder with tables/ and figures/")
    options = parser.parse_args()
    if options.what == "figures" and (unknown := set(options.names) - set(FIGURES)):
        parser.error(f"no figure {', '.join(sorted(unknown))}: known are {', '.join(FIGURES)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
