"""``python -m flows.paper_settings FILE``: the settings of ``scale=paper``, composed, as data.

The only source of what a table declares as a deviation: a run's recorded configuration is held against these.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from flows.configure.compose import CONF, compose_all
from flows.exits import exit_code
from pipelines.files import json_text

GROUPS = ("benchmark", "algorithm", "model")


def paper_settings() -> dict[str, dict[str, Any]]:
    """``benchmark``: a whole configuration for each; ``algorithm`` and ``model``: that section for each, which every
    benchmark shares. By their names in a configuration. Raises ConfigError."""
    options = [(group, path.stem) for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]
    composed = compose_all([[f"{group}={option}", "scale=paper"] for group, option in options])
    settings: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
    for (group, _), run in zip(options, composed, strict=True):
        config = run.experiment.values()
        settings[group][config[group]["name"]] = config if group == "benchmark" else config[group]
    return settings


@exit_code
def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m flows.paper_settings", description=__doc__)
    parser.add_argument("file", type=Path, help="JSON to write")
    options = parser.parse_args()
    text = json_text(paper_settings())
    options.file.parent.mkdir(parents=True, exist_ok=True)
    options.file.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
