"""A study's table as Markdown, LaTeX and CSV: the same cells in each, the paper's numbers at its scale alone."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.reporting.__main__ import main
from pipelines.reporting.printing import document_of
from pipelines.reporting.rendering import Heading, Table, latex, latex_table, latex_text, markdown
from pipelines.reporting.report import write_table
from tests.reporting.study import ALFWORLD, table_of, write_cell, write_settings

REPOSITORY = Path(__file__).parents[2]
MODELS = ("qwen2.5_1.5b", "qwen2.5_7b")
SETS = ("webwalkerqa", "hotpotqa", "2wikimultihopqa", "musique", "bamboogle")
Section = tuple[list[str], list[list[str]]]


def write_study(root: Path, scale: str) -> None:
    """Cells of tables 1, 2 and 5, with five seeds of one pair and two of the others; every task type is played."""
    types = {"alfworld": ALFWORLD, "webshop": ["shop"] * 6}
    for benchmark in ("alfworld", "webshop"):
        for arm, more in (("off", 0), ("full", 1)):
            finals = [[1, 0, seed % 2, more, 0, more] for seed in range(5 if benchmark == "alfworld" else 2)]
            cell = f"benchmark={benchmark} model=qwen2.5_1.5b algorithm=grpo empg={arm} scale={scale}"
            write_cell(root, cell, finals, types=types[benchmark])
    sets = SETS if scale == "paper" else ("one_hop", "two_hop", "three_hop", "four_hop")
    for arm in ("off", "full"):
        cell = f"benchmark=deepsearch model=qwen2.5_32b algorithm=dapo empg={arm} scale={scale}"
        write_cell(root, cell, [[1, 0, 1, 1, 0][: len(sets)]] * 2, types=sets)


@pytest.fixture(scope="module", params=["laptop", "paper"])
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp(request.param) / "grid"
    write_study(root, request.param)
    return root


@pytest.fixture(scope="module")
def settings_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_settings(tmp_path_factory.mktemp("settings") / "settings.json")


def scale_of(study: Path) -> str:
    return study.parent.name.rstrip("0123456789")


# ---------------------------------------------------------------------------------------------------- three of one content


def read_markdown(text: str) -> list[Section]:
    """Every table of a page, by the syntax alone."""
    tables = re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE)
    lines = [[line.strip("| ").split(" | ") for line in table.strip().splitlines()] for table in tables]
    return [(rows[0], rows[2:]) for rows in lines]


def read_latex(text: str) -> list[Section]:
    """Every tabular of a document; every line must have as many cells as the preamble has columns."""
    sections = []
    for columns, body in re.findall(
        r"\\begin\{tabular\}\{((?:[lr]|p\{15em\})+)\}(.*?)\\end\{tabular\}", text, re.DOTALL
    ):
        rows = [line.removesuffix(r" \\") for line in body.strip().splitlines() if line.endswith(r"\\")]
        count = len(re.findall(r"[lr](?!\{)|p\{15em\}", columns))
        if rows[0].startswith(r"\multicolumn"):
            spans = [int(width) for width in re.findall(r"\\multicolumn\{(\d+)\}", rows.pop(0))]
            assert sum(spans) == count
        cells = [[unescaped(cell) for cell in re.split(r"(?<!\\) & ", row)] for row in rows]
        assert {len(row) for row in cells} == {count}
        sections.append((cells[0], cells[1:]))
    return sections


def unescaped(text: str) -> str:
    """What a reader of the set page sees. What is left of LaTeX's own characters would be an error there."""
    for code, letter in (
        (r"$\pm$", "±"),
        ("$-$", "-"),
        ("---", "—"),
        ("--", "–"),
        (r"$\zeta$", "ζ"),
        ("\\_", "_"),
        (r"\%", "%"),
        (r"\textgreater{}", ">"),
    ):
        text = text.replace(code, letter)
    assert not set(text.replace("_", "").replace("%", "")) & set("\\$&#^~{}"), text
    return text


@pytest.mark.parametrize("name", ["table1", "table2", "table5"])
def test_markdown_and_latex_are_cell_by_cell_the_table(study: Path, name: str) -> None:
    table = table_of(study, name)
    document = document_of(table)
    grids = document.tables
    assert len(grids) >= 4
    assert read_markdown(markdown(document)) == [(grid.names, [list(row) for row in grid.rows]) for grid in grids]
    expected = [([h.name for h in grid.header], [list(row) for row in grid.rows]) for grid in grids]
    assert read_latex(latex(document, name)) == expected
    for note in document.notes:
        assert note in markdown(document)
        assert latex_text(note) in latex(document, name)


@pytest.mark.parametrize("name", ["table1", "table2"])
def test_the_csv_has_the_tables_numbers(study: Path, settings_file: Path, tmp_path: Path, name: str) -> None:
    table = write_table(name, study, settings_file, tmp_path)
    with (tmp_path / f"{name}.csv").open() as file:
        lines = list(csv.DictReader(file))
    means, intervals, differences = document_of(table).tables[:3]
    labels, count = means.words, len(table.columns)
    ours = [row for row in means.rows if "paper" not in row[:labels]]
    assert len(lines) == len(ours) * count
    shown = {tuple(row[:3]): row[3:] for row in intervals.rows}
    for row, here in zip(ours, (lines[n : n + count] for n in range(0, len(lines), count)), strict=True):
        for at, (text, line) in enumerate(zip(row[labels:], here, strict=True)):
            if not line["mean"]:
                assert (text, line["seeds"], line["low"]) == ("–", "", "")
                continue
            assert text == f"{float(line['mean']):.1f} ± {float(line['sd']):.1f}"
            assert shown[tuple(row[:3])][at] == f"{float(line['low']):.1f} – {float(line['high']):.1f}"
    with (tmp_path / f"{name}_differences.csv").open() as file:
        lines = list(csv.DictReader(file))
    for row, line in zip(differences.rows, lines, strict=True):
        assert row[4:7] == (line["seeds"], line["tasks"], f"{float(line['difference']):+.1f}")
        points = float(line["detectable"] or "nan")
        shown_points = "> 100" if points > 100 else f"{points:.1f}" if line["detectable"] else "–"
        assert row[-3:] == (f"{float(line['p_holm']):.3f}", shown_points, line["verdict"])
        assert 0 < float(line["p"]) <= float(line["p_holm"]) <= 1
        assert int(line["seeds"]) >= 3 or line["verdict"] in ("noise", "few seeds")


def test_what_latex_reads_as_its_own_is_written_otherwise() -> None:
    assert latex_text("50 % of a_b & {c} #1 $2 ~ ^ \\ ± – −") == (
        r"50 \% of a\_b \& \{c\} \#1 \$2 \textasciitilde{} \textasciicircum{} \textbackslash{} $\pm$ -- $-$"
    )
    assert latex_text("-1.8 and +3, qwen2.5-1.5b") == "$-$1.8 and +3, qwen2.5-1.5b"


def test_groups_span_their_columns() -> None:
    header = (Heading("Model"), Heading("a", "One"), Heading("b", "One"), Heading("c", "Two"))
    text = latex_table(Table("t", header, (("m", "1", "2", "3"),), 1), "A caption", "label").splitlines()
    assert text[4:8] == [
        r"\begin{tabular}{lrrr}", r"\toprule",
        r"\multicolumn{1}{c}{} & \multicolumn{2}{c}{One} & \multicolumn{1}{c}{Two} \\",
        r"\cmidrule(lr){2-3} \cmidrule(lr){4-4}",
    ]  # fmt: skip
    assert text.count(r"\begin{table*}") == text.count(r"\end{table*}") == 1


# ------------------------------------------------------------------------------------------------------ the paper's numbers


def papers(name: str) -> Iterator[str]:
    """What the paper prints of a table's means, digit by digit."""
    with (REPOSITORY / "pipelines" / "reporting" / "paper" / f"{name}.csv").open() as file:
        for line in csv.DictReader(file):
            for key, value in line.items():
                if line.get(f"{key}_pm"):
                    yield f"{value} ± {line[f'{key}_pm']}"
                elif key in ("webwalker", "overall_avg"):
                    yield value


@pytest.mark.parametrize("name", ["table1", "table2", "table5"])
def test_the_papers_numbers_stand_beside_ours_at_its_scale_alone(
    study: Path, settings_file: Path, tmp_path: Path, name: str
) -> None:
    write_table(name, study, settings_file, tmp_path)
    texts = {path.suffix: path.read_text() for path in tmp_path.iterdir() if "differences" not in path.name}
    printed = set(papers(name))
    assert len(printed) >= 8
    if scale_of(study) == "paper":
        assert {number for number in printed if f"| {number} |" not in texts[".md"]} == set()
        assert "| qwen2.5-1.5b |" not in texts[".md"] or "| paper | 85.5 ± 4.8 |" in texts[".md"]
        assert "paper_printed" in texts[".csv"]
        assert "stand-in" not in texts[".md"]
    else:
        assert {number for number in printed if any(f" {number} " in text for text in texts.values())} == set()
        assert "paper_printed" not in texts[".csv"]
        assert "Remark: qwen" not in texts[".md"]
        assert "not comparable with the paper's numbers" in texts[".md"]


@pytest.mark.parametrize("study", ["paper"], indirect=True)
def test_a_misprinted_average_is_recomputed_and_reported(study: Path) -> None:
    """(41.8 + 84.8)/2 = 63.3; the paper prints 63.7."""
    text = markdown(document_of(table_of(study, "table2")))
    full = next(line for line in text.splitlines() if line.startswith("| qwen2.5-32b | DAPO | full | paper |"))
    assert full == (
        "| qwen2.5-32b | DAPO | full | paper | 57.5 | 71.2 | 71.0 | 66.6 | 41.8 | 84.8 | 63.3 (printed: 63.7) | 65.3 |"
    )
    assert text.count("(printed:") == 1
    assert "OOD average: the paper prints 63.7; the mean of its own numbers is 63.3" in text


@pytest.mark.parametrize("study", ["paper"], indirect=True)
def test_a_row_that_claims_more_runs_than_it_has_is_reported(study: Path) -> None:
    remarks = table_of(study, "table5").remarks
    assert remarks == (
        "qwen2.5-1.5b grpo full (ζ = 0.05, k = 1.0): the paper's number of runs is 4 here and 3 in table1, whose row "
        "qwen2.5-1.5b grpo full (ζ = 0.05, k = 1.0) has the same 14 numbers, digit for digit",
    )
    assert table_of(study, "table1").remarks == ("the paper quotes prompting, react, rloo from GiGPO",)
    assert "Every setting is that of scale=paper." in document_of(table_of(study, "table1")).notes


@pytest.mark.parametrize(
    "how", ["scale=paper policy=local model.weights=stand_in", "scale=laptop model.weights=pretrained warm_start=null"]
)
def test_the_papers_numbers_need_its_scale_and_its_models(tmp_path: Path, how: str) -> None:
    write_cell(tmp_path / "grid", f"{how} benchmark=alfworld empg=off", [[1, 0]], types=ALFWORLD[:2])
    table = table_of(tmp_path / "grid")
    assert table.published == {}
    assert ("not comparable" in markdown(document_of(table))) == ("stand_in" in how)


# --------------------------------------------------------------------------------------------------------------- the command


def test_the_same_results_give_the_same_bytes_in_another_process(
    study: Path, settings_file: Path, tmp_path: Path
) -> None:
    """Another order of hashing, and other folders."""
    write_table("table1", study, settings_file, tmp_path / "here")
    command = [sys.executable, "-m", "pipelines.reporting", "table", "table1", "--runs", str(study)]
    done = subprocess.run(
        [*command, "--settings", str(settings_file), "--out", str(tmp_path / "there")],
        cwd=REPOSITORY, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONHASHSEED": "7"},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    here, there = ({p.name: p.read_bytes() for p in (tmp_path / at).iterdir()} for at in ("here", "there"))
    assert sorted(here) == ["table1.csv", "table1.md", "table1.tex", "table1_differences.csv"]
    assert here == there


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), ("{", "Expecting"), ("{}", "'benchmark'"), ("[]", "list")]
)
def test_settings_that_cannot_be_read_are_reported_in_one_line(
    tmp_path: Path,
    content: str | None,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_cell(tmp_path / "grid", "empg=off", [[1, 0]], types=ALFWORLD[:2])
    file = tmp_path / "settings.json"
    if content is not None:
        file.write_text(content)
    arguments = [
        "table",
        "table1",
        "--runs",
        str(tmp_path / "grid"),
        "--settings",
        str(file),
        "--out",
        str(tmp_path / "out"),
    ]
    monkeypatch.setattr(sys, "argv", ["reporting", *arguments])
    assert main() == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {file} does not hold the paper's settings (")
    assert reason in error
    assert error.endswith(f"make them with `python -m flows.paper_settings {file}`\n")
    assert not (tmp_path / "out").exists()


def test_a_table_that_is_none_is_answered_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["reporting", "table", "table3", "--runs", "a", "--settings", "b", "--out", "c"])
    with pytest.raises(SystemExit):
        main()
    assert "invalid choice: 'table3' (choose from 'table1', 'table2', 'table5', 'table6'" in capsys.readouterr().err
