"""The report: one page that shows what a study has, asks nothing of a network, and takes every text for text."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.reporting import __main__ as command
from pipelines.reporting.figures import write_figure
from pipelines.reporting.page.build import write_page
from pipelines.reporting.page.evaluation import evaluation_page
from pipelines.reporting.page.tables import cut
from tests.reporting.analyses import add_trajectories, trajectory
from tests.reporting.results import write_results

EVIL = """</script><script>document.title = "pwned"</script><img src="https://evil.example/x.png" onerror="alert(1)">&lt;\u2028"""
TABLE = f"""\
# Table <b>1</b>

## Means

| model | success |
| --- | --- |
| [a](https://evil.example) {EVIL.splitlines()[0]} | 50.0 ± 1.0 |

## Intervals

| model | success |
| --- | --- |
| a | 40 – 60 |

## Deviations from the paper's settings (scale=paper)

| Setting | Here | Paper |
| --- | --- | --- |
| training.iterations | 2 | 150 |

The last note.
"""


class Page(HTMLParser):
    """``attributes``: all (name, value); ``elements``: tag → contents, those of scripts and styles verbatim."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str]] = []
        self.elements: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]
        self.elements.setdefault(tag, []).append("")
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self._open:
            self.elements[self._open[-1]][-1] += data

    @property
    def data(self) -> dict[str, Any]:
        return dict(json.loads(self.elements["script"][0]))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose every text wants to be markup, in ``reports/evil``."""
    root = tmp_path_factory.mktemp("page")
    info = {"commit": "c0ffee+", "versions": {"torch": "2.13.0"}, "remarks": [EVIL]}
    for arm in ("off", "full"):
        for seed in (0, 1):
            folder = write_results(root / "runs", "grpo", arm, seed, {0: [0], 2: [1]}, said=info)
            texts = {"prompt": EVIL, "text": EVIL, "observation": EVIL, "task_id": EVIL, "task_type": EVIL}
            modulated = {"g": 1.25, "A_final": [1.5, 0.5]} if arm == "full" else {}
            played = trajectory(**texts, valid=[True, False], **modulated)
            add_trajectories(folder, played, trajectory(3, success=False))
    folder = root / "reports" / "evil"
    (folder / "tables").mkdir(parents=True)
    (folder / "tables" / "table1.md").write_text(TABLE)
    write_figure("kl", root / "runs", folder / "figures")
    write_page(root / "runs", folder)
    return folder


@pytest.fixture(scope="module")
def page(report: Path) -> Page:
    return Page((report / "report.html").read_text())


def test_nothing_is_asked_of_a_network(report: Path, page: Page) -> None:
    """Links lead to the page itself, pictures are in it, and the browser is told to fetch nothing."""
    followed = [
        value for name, value in page.attributes if name in ("src", "href", "action", "poster", "srcset", "data")
    ]
    assert followed
    assert [value[:40] for value in followed if not value.startswith(("#", "data:image/"))] == []
    (style,) = page.elements["style"]
    assert not re.search(r"url\(|@import", style)
    (policy,) = (value for name, value in page.attributes if name == "content" and "default-src" in value)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-")
    assert "link" not in page.elements
    assert "iframe" not in page.elements


def test_texts_stay_texts(report: Path, page: Page) -> None:
    html = (report / "report.html").read_text()
    assert "<script>document" not in html
    assert '<img src="https' not in html
    assert len(page.elements["script"]) == 2
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert EVIL in page.data["texts"]
    assert page.elements["title"] == ["evil · EMPG"]
    assert page.elements["h3"][0] == "Table <b>1</b>"
    assert any("[a](https://evil.example)" in cell for cell in page.elements["td"])


def test_the_script_is_the_one_that_the_policy_allows(page: Page) -> None:
    import base64
    import hashlib

    digest = base64.b64encode(hashlib.sha256(page.elements["script"][1].encode()).digest()).decode()
    assert any(f"'sha256-{digest}'" in value for _, value in page.attributes)


def test_it_shows_what_the_study_has(page: Page) -> None:
    words = " ".join(text for texts in page.elements.values() for text in texts)
    for said in (
        "Test scale: small stand-in models made here, not comparable with the paper's numbers.",
        "KL loss against iterations", "50.0 ± 1.0", "The last note.", "training.iterations", "c0ffee+", "torch 2.13.0", "p" * 64,
    ):  # fmt: skip
        assert said in words, said
    assert page.elements["summary"][:2] == ["Intervals", "Table <b>1</b>"], "deviations have their own part"
    runs = page.data["runs"]
    assert [(run["cell"], run["seed"]) for run in runs] == [
        ("GRPO, EMPG off", 0), ("GRPO, EMPG full", 0), ("GRPO, EMPG off", 1), ("GRPO, EMPG full", 1),
    ]  # fmt: skip
    first, second = runs[0]["trajectories"]
    assert (first["iteration"], first["success"], second["iteration"], second["success"]) == (1, True, 4, False)
    assert [step["valid"] for step in first["steps"]] == [True, False]
    columns = [column["name"] for column in page.data["methods"][runs[0]["method"]]]
    assert dict(zip(columns, first["steps"][1]["numbers"], strict=True))["H_norm"] == 1.0
    assert page.data["texts"][second["prompt"]] == "Your task is to look."


def test_the_same_study_gives_the_same_bytes(report: Path) -> None:
    before = (report / "report.html").read_bytes()
    assert write_page(report.parents[1] / "runs", report).read_bytes() == before


def test_markdown_is_cut_at_its_headings_and_below_its_last_table() -> None:
    title, sections, notes = cut(
        "# T\n\nbefore\n\n## A\n\ntext\n\n| a |\n| --- |\n| 1 |\n\n## B\n\n| b |\n| --- |\n| 2 |\n\nnote\n"
    )
    assert title == "T"
    assert [section.title for section in sections] == ["", "A", "B"]
    assert "note" not in sections[2].body
    assert notes == "<p>note</p>\n"


def test_a_large_grid_stays_below_five_megabytes(tmp_path: Path) -> None:
    """60 runs of 50-step trajectories with long, different texts: what does not fit is left out, and said."""
    for seed in range(15):
        for arm in ("off", "full", "gradient_scaling", "future_bonus"):
            folder = write_results(tmp_path / "runs", "grpo", arm, seed, {0: [0], 2: [1]})
            texts = [f"{arm} {seed} {i} " + "ζ" * 3000 for i in range(50)]
            add_trajectories(folder, trajectory(H_norm=[0.5] * 50, text=texts, observation=texts[::-1]))
    page = write_page(tmp_path / "runs", tmp_path / "report")
    assert page.stat().st_size < 5_000_000
    read = Page(page.read_text())
    seeds = [run["seed"] for run in read.data["runs"]]
    assert 0 < len(seeds) < 60
    assert max(seeds) < 14, "the lowest seeds come first"
    assert f"{60 - len(seeds)} runs of higher seeds are left out" in " ".join(read.elements["p"])
    assert max(len(text) for text in read.data["texts"]) < 1_600


def test_a_study_without_tables_figures_and_trajectories_says_so(tmp_path: Path) -> None:
    write_results(tmp_path / "runs", "grpo", "off", 0, {0: [0], 2: [1]})
    page = Page(write_page(tmp_path / "runs", tmp_path / "report").read_text())
    words = " ".join(page.elements["p"])
    for said in (
        "no tables yet",
        "no figures yet",
        "No run of this study kept any",
        "This study's tables do not list them",
        "1 run without: ",
    ):
        assert said in words, said


def test_a_figure_that_is_none_is_named(
    report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "kl.svg").write_text("<svg")
    arguments = ["reporting", "page", "--runs", str(report.parents[1] / "runs"), "--report", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    assert command.main() == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path / 'figures' / 'kl.svg'} is no figure of a study")
    assert len(error.splitlines()) == 1


def test_a_page_of_an_evaluation_takes_turns_and_leaves_out_what_has_no_room() -> None:
    """300 episodes of one step, of two task types, with long texts; an engine that knows no entropies. Every text wants to be
    markup."""
    ids = [f"t{i}" for i in range(300)]
    rows = {"task_id": ids, "sample": [0] * 300, "task_type": ["a"] * 200 + ["b"] * 100, "stop_reason": ["done"] * 300}
    evaluations = pa.table(
        rows | {"success": [False] * 300, "score": [0.0] * 300, "reward": [0.0] * 300, "steps": [1] * 300}
    )
    said = {
        "text": [f"{i} " + "ζ" * 9000 for i in ids],
        "prompt": [EVIL] * 300,
        "observation": [EVIL] * 300,
        "tokens": [3] * 300,
    }
    of_all = {"verdict": "unparsed", "valid": False, "cut": True, "reward": 0.5, "entropy": float("nan")}
    step = {name: [value] * 300 for name, value in of_all.items()}
    html = evaluation_page(TABLE, evaluations, pa.table({"task_id": ids, "sample": [0] * 300} | said | step))
    page, shown = Page(html), Page(html).data["runs"]
    counts = [len(run["trajectories"]) for run in shown]
    assert 50 < sum(counts) < 200
    assert counts[0] - counts[1] in (0, 1), "in turn"
    assert f"{300 - sum(counts)} more stand in answers.parquet" in " ".join(page.elements["p"])
    assert len(html.encode()) < 3_000_000
    assert [column["name"] for column in page.data["methods"][0]] == ["tokens", "reward"]
    assert shown[0]["trajectories"][0]["steps"][0]["numbers"] == [3, 0.5]
    assert EVIL in page.data["texts"]
    assert len(page.elements["script"]) == 2


@pytest.mark.browser
def test_the_viewer_in_a_browser(report: Path, tmp_path: Path) -> None:
    """The arm whose advantages differ within a trajectory is chosen, its steps stand there, and the evil text is text."""
    options = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}",
        "--virtual-time-budget=2000",
    ]
    done = subprocess.run(
        ["chromium", *options, "--dump-dom", (report / "report.html").resolve().as_uri()],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    page = Page(done.stdout)
    assert page.elements["title"][0] == "evil · EMPG", "no script of a text's ran"
    assert ("class", "step invalid") in page.attributes
    assert "1.25" in page.elements["dd"]
    assert page.elements["p"].count(EVIL) == 5, "the prompt, and two steps' answers and observations"
    assert "Step 1" in page.elements["span"]
    assert "circle" in page.elements


def test_a_picture_takes_its_place_before_it_is_there(report: Path, page: Page) -> None:
    """Else what a link leads to moves away while pictures load."""
    pictures = [dict(zip(("width", "height"), sizes, strict=True)) for sizes in _sizes(report)]
    assert pictures
    assert "loading" not in {name for name, _ in page.attributes}
    for sizes in pictures:
        assert int(sizes["width"]) > 100
        assert int(sizes["height"]) > 100


def _sizes(report: Path) -> list[tuple[str, str]]:
    return re.findall(r'<img [^>]*width="(\d+)" height="(\d+)"', (report / "report.html").read_text())
