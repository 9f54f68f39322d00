"""``python -m flows.report runs=<folder>``: one command from runs to table, figures and page."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.dvc_outputs import owner_of
from flows.report import main
from tests.reporting.results import write_results
from tests.reporting.study import settings


def test_one_command_makes_all_and_the_page_says_what_came_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """GRPO rises from 1/2 to 1 with either arm; each run says the command that makes it, one with a mark of HTML."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flows.report.paper_settings", settings)
    monkeypatch.setattr("pipelines.reporting.figures.FIGURES", ("learning_curves",))
    for arm in ("off", "full"):
        said = {
            "command": f"python -m flows empg={arm} 'model.name=<b>'",
            "committed": "2026-01-02",
            "checkpoint": "update/1",
        }
        write_results(tmp_path / "runs", "grpo", arm, 0, {0: [1, 0], 2: [1, 1]}, said=said)
    assert main(["runs=runs"]) == 0
    assert "reports/runs/report.html" in capsys.readouterr().out
    assert (tmp_path / "reports/runs/tables/cells.md").is_file()
    assert sorted(path.suffix for path in (tmp_path / "reports/runs/figures").iterdir()) == [".pdf", ".png", ".svg"]
    page = (tmp_path / "reports/runs/report.html").read_text()
    for text in (
        "ALFWorld from 50.0 to 100.0 %. Of the gains of 2 trained cells: 2 of too few seeds to tell.",
        "the one difference to EMPG off is noise",
        "2 runs, by code of 2026-01-02",
        "python -m flows empg=off &#39;model.name=&lt;b&gt;&#39;",
        "<code>update/1</code>",
    ):
        assert text in page
    assert page.count('<div class="made" id="') == 2  # where the numbers of each cell lead
    first = page.encode()
    (tmp_path / "reports/runs/tables/old.md").write_text("# Of other runs")
    assert main(["runs=runs"]) == 0
    assert (tmp_path / "reports/runs/report.html").read_bytes() == first
    assert not (tmp_path / "reports/runs/tables/old.md").exists()
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["runs"]


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        ([], 2, "runs=<folder> is missing"),
        (["runs=nowhere"], 2, "runs=nowhere: there is no such folder"),
        (["run=x"], 2, "unknown key run; known: runs, out"),
        (["runs=.", "out=file"], 2, "out=file is a file"),
        (["runs=.", "runs=.."], 2, "runs=. runs=..: give one"),
        (["runs=.", "out=mine"], 2, "out=mine holds what is no report's (thesis.tex)"),
        (["runs=."], 1, "no finished run below ."),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], code: int, why: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flows.report.paper_settings", settings)
    (tmp_path / "file").touch()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    assert main(arguments) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert why in line
    assert (tmp_path / "mine" / "thesis.tex").is_file()


def test_what_dvc_makes_is_left_to_dvc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The checkout's own pipelines, the grid's with a matrix and the demo's from a folder."""
    for name in ("dvc.yaml", "demo/dvc.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(Path(__file__).parents[2] / name, tmp_path / name)
    for folder in (".dvc", "results/grid", "results/mine"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for asked, owner in (
        (["runs=results/grid"], "dvc.yaml"),
        (["runs=results/mine", "out=reports/demo"], "demo/dvc.yaml"),
        (["runs=results/mine", "out=reports"], "dvc.yaml"),
        (["runs=results/mine", "out=reports/grid/tables/table1.md/x"], "dvc.yaml"),
    ):
        assert main(asked) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert str(tmp_path / owner) in line
        assert "out=" in line.rpartition("name another")[2]
    assert not (tmp_path / "reports").exists()
    assert owner_of(tmp_path / "reports/mine") is None
    assert owner_of(tmp_path.parent / "reports/grid") is None
