"""The report in a browser, of the reference grid's results: links land, nothing is wider than a phone, the print has no blank page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.paper_settings import paper_settings
from pipelines.files import write_json
from pipelines.reporting.figures import write_figure
from pipelines.reporting.page.build import write_page
from pipelines.reporting.report import write_table
from tests.reporting.study import write_cell

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

GRID = Path(__file__).parents[2] / "results" / "grid"
COMMAND = f"python -m flows benchmark=alfworld {' '.join(['model.stand_in.hidden_size=64'] * 8)}"
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
# Follows a link to each part that there is one to, from the top of the page, and waits until the page stands still.
_MISSED = """async () => {
  const missed = {}, links = {};
  for (const link of document.querySelectorAll("a[href^='#']")) if (link.checkVisibility()) links[link.getAttribute("href")] ??= link;
  for (const [hash, link] of Object.entries(links)) {
    scrollTo({ top: 0, behavior: "instant" });
    link.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true })); // the chart's links know no click()
    for (let still = 0, before = NaN; still < 4; ) {
      await new Promise(requestAnimationFrame);
      still = scrollY === before ? still + 1 : 0;
      before = scrollY;
    }
    const target = document.getElementById(hash.slice(1)), at = target.getBoundingClientRect();
    const off = at.top - parseFloat(getComputedStyle(target).scrollMarginTop);
    const atTheEnd = scrollY + innerHeight > document.documentElement.scrollHeight - 2;
    const seen = at.height > 0 && at.top < innerHeight;
    if (!seen || (Math.abs(off) > 5 && !(atTheEnd && off > 0))) missed[hash] = [off, at.height];
  }
  return [Object.keys(links), missed];
}"""


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the committed results four cells, with one of the tables and two of the figures, for the test's time."""
    report = tmp_path_factory.mktemp("grid")
    (report / "runs").mkdir()
    for cell in GRID.glob("*-qwen2.5-1.5b-grpo-*"):
        shutil.copytree(cell, report / "runs" / cell.name)
    settings = report / "paper_settings.json"
    write_json(settings, paper_settings())
    write_table("table1", report / "runs", settings, report / "tables")
    for figure in ("learning_curves", "final_bars"):
        write_figure(figure, report / "runs", report / "figures")
    return write_page(report / "runs", report, "grid")


@pytest.fixture(scope="module")
def recent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose runs recorded their commands."""
    root = tmp_path_factory.mktemp("recent")
    for empg in ("off", "full"):
        said = {"command": f"{COMMAND} empg={empg}", "checkpoint": "update/0123456789abcdef0123"}
        write_cell(root / "runs", f"empg={empg}", [[1, 0, 1, 1], [1, 1, 0, 1]], **said)
    write_json(root / "paper_settings.json", paper_settings())
    write_table("table1", root / "runs", root / "paper_settings.json", root / "tables")
    return write_page(root / "runs", root, "recent")


@pytest.fixture(params=["grid", "recent"])
def report(request: pytest.FixtureRequest) -> Path:
    return Path(request.getfixturevalue(request.param))


@pytest.fixture(params=[WIDE, PHONE], ids=["wide", "phone"])
def page(request: pytest.FixtureRequest, chromium: Any, report: Path) -> Iterator[Any]:
    opened = chromium.new_page(viewport=request.param)
    opened.goto(report.as_uri())
    yield opened
    opened.close()


def test_links_land(page: Any) -> None:
    """Also those into what is folded."""
    followed, missed = page.evaluate(_MISSED)
    assert {"#tables", "#figures", "#trajectories", "#deviations", "#making", "#environment", "#made-1"} <= set(
        followed
    )
    assert missed == {}


def test_nothing_is_wider_than_the_window(page: Any) -> None:
    """Neither folded nor unfolded; what is wide scrolls within itself."""
    for _ in range(2):
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")


def test_a_phone_is_not_filled_with_deviations(chromium: Any, grid: Path) -> None:
    page = chromium.new_page(viewport=PHONE)
    page.goto(grid.as_uri())
    assert page.locator("#deviations").bounding_box()["height"] < 2 * PHONE["height"]
    assert page.locator("#deviations details details").count() > 5
    page.close()


def test_the_print_has_no_blank_page(chromium: Any, report: Path, tmp_path: Path) -> None:
    import pypdfium2

    page = chromium.new_page()
    page.goto(report.as_uri())
    page.pdf(
        path=tmp_path / "report.pdf", format="A4", margin=dict.fromkeys(("top", "bottom", "left", "right"), "1.5cm")
    )
    page.close()
    sheets = [sheet.render(scale=0.5).to_numpy() for sheet in pypdfium2.PdfDocument(tmp_path / "report.pdf")]
    assert len(sheets) > 1
    assert [number for number, sheet in enumerate(sheets, 1) if (sheet < 200).sum() < 200] == []


def test_a_number_leads_to_its_making(chromium: Any, recent: Path) -> None:
    """Seeds, panel, checkpoint, results and command, of the number's own cell."""
    page = chromium.new_page(viewport=WIDE)
    page.goto(recent.as_uri())
    numbers = page.query_selector_all("article > .wide tr:has(a) > td:nth-child(4) a")
    for number, empg in zip(numbers, ("off", "full"), strict=True):
        number.click()
        made = page.query_selector(":target")
        told = made.inner_text()
        assert made.is_visible()
        assert told.count(f"{COMMAND} empg={empg}") == 2
        assert told.count("update/0123456789abcdef0123") == 2
        assert "p" * 64 in told
        folders = [folder for folder in (recent.parent / "runs").glob("*/seed*") if f"-{empg}-" in folder.parent.name]
        assert len(folders) == 2
        assert all(f"seed {folder.name[-1]}: {folder.parent.name}/{folder.name}," in told for folder in folders)
    page.close()


def test_from_its_making_to_its_trajectories(chromium: Any, grid: Path) -> None:
    """The viewer shows the run that was asked for."""
    page = chromium.new_page(viewport=WIDE)
    page.goto(grid.as_uri())
    link = page.query_selector_all("#making a[data-run]")[-1]
    link.evaluate("(link) => link.click()")
    wanted = page.evaluate(
        "(n) => JSON.parse(document.getElementById('data').textContent).runs[n]", int(link.get_attribute("data-run"))
    )
    shown = {name: page.input_value(f"#pick-{name}") for name in ("setting", "cell", "seed")}
    assert shown == {name: str(wanted[name]) for name in shown}
    page.close()
