"""``python -m pipelines.reporting.figures [NAME …] --runs FOLDER --out FOLDER``: one figure, as a stage of dvc.yaml, or all."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from pipelines.errors import PlatformError
from pipelines.reporting.figures import FIGURES


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m pipelines.reporting.figures", description=__doc__)
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"default: all ({', '.join(FIGURES)})")
    parser.add_argument("--runs", type=Path, required=True, help="folder with finished runs' results, at any depth")
    parser.add_argument("--out", type=Path, required=True, help="folder to write NAME.png and NAME.svg to")
    options = parser.parse_args()
    if unknown := set(options.names) - set(FIGURES):
        parser.error(f"no figure {', '.join(sorted(unknown))}: known are {', '.join(FIGURES)}")
    try:
        for name in options.names or FIGURES:
            write_figure(name, options.runs, options.out)
    except PlatformError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def write_figure(name: str, runs: Path, out: Path) -> None:
    """``name``.png and .svg; the same results give the same bytes. Raises DataError naming a bad file."""
    from pipelines.reporting.figures.study import comparable_study
    from pipelines.reporting.results import read_study

    study = comparable_study(read_study(runs))
    figure = import_module(f"pipelines.reporting.figures.{name}").draw(study)
    out.mkdir(parents=True, exist_ok=True)
    figure.save(out / name)


if __name__ == "__main__":
    sys.exit(main())
