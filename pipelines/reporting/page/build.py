"""Put the page together. Each part has a module of its own; here is only their order."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from pipelines.reporting.figures.study import comparable_study
from pipelines.reporting.figures.style import claim
from pipelines.reporting.page.conclusion import conclusion_of, dates_of
from pipelines.reporting.page.environment import environment_of
from pipelines.reporting.page.links import links_of
from pipelines.reporting.page.making import makings_of
from pipelines.reporting.page.pictures import read_pictures
from pipelines.reporting.page.tables import read_tables, shared_notes
from pipelines.reporting.page.viewer import trajectories_of
from pipelines.reporting.results import read_study

_HERE = Path(__file__).parent


def write_page(runs: Path, report: Path, name: str = "") -> Path:
    """Write ``report/report.html`` from the runs' results, ``report/tables/*.md`` and ``report/figures/*.svg``. ``name``: the
    report's; "": its folder's. The same inputs give the same bytes. Raises DataError naming a bad file, or that there is no run."""
    page = render(runs, report, name)
    report.mkdir(parents=True, exist_ok=True)
    out = report / "report.html"
    out.write_text(page, "utf-8")
    return out


def render(runs: Path, report: Path, name: str = "") -> str:
    study = comparable_study(read_study(runs))
    trajectories, makings = trajectories_of(study), makings_of(study, runs)
    notes, tables = shared_notes(read_tables(report / "tables", lambda name: links_of(name, study, makings)))
    return rendered(
        "report.html.j2",
        name=name or report.resolve().name,
        claim=claim(study),
        conclusion=conclusion_of(study),
        dates=dates_of(study),
        makings=makings,
        commands=[run.command for making in makings for run in making.runs if run.command],
        notes=notes,
        tables=tables,
        pictures=read_pictures(report / "figures"),
        environment=environment_of(study),
        trajectories=trajectories,
        data=trajectories.json,
    )


def rendered(template: str, **values: Any) -> str:
    """A page with the style and the viewer. ``values``: the template's own, and the viewer's ``data``."""
    import jinja2

    script = (_HERE / "viewer.js").read_text("utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    return environment.get_template(template).render(
        **values,
        style=(_HERE / "style.css").read_text("utf-8"),
        script=script,
        # The page may run this script alone, so that nothing that a model wrote can become another one.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
