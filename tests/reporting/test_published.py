"""The paper's own numbers: where they stand, which of its averages are wrong, and which rows are said to be more runs."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from pipelines.reporting import published
from pipelines.reporting.names import PAPER
from pipelines.reporting.published import Published, errors_of
from pipelines.reporting.specification import Column, Row, specifications

OOD = Column(group="", name="OOD", of="out_of_domain", paper="ood_avg", mean_of=("musique", "bamboogle"))


def test_a_number_by_hand() -> None:
    paper, row = Published("table1"), Row(model="qwen2.5-1.5b", method="grpo", empg="full", zeta=0.05, k=1.0)
    pick, every = Column(group="", name="Pick", of="x"), Column(group="", name="All", of="all", paper="alfworld_all")
    assert (paper.number(row, pick), paper.number(row, every)) == (
        published.Number(85.5, 4.8, 85.5),
        published.Number(73.7, 2.7, 73.7),
    )
    react = paper.number(Row(model="qwen2.5-7b", method="react"), every)
    assert react == published.Number(31.2, None, 31.2)  # no ± is printed
    assert paper.number(Row(model="qwen2.5-7b", method="dr_grpo", empg="off"), every) is None
    assert paper.number(row, Column(group="", name="Untold", of="x")) is None
    assert Published("controls_alfworld").number(row, every) is None


def test_the_strength_decides_where_the_paper_varies_it() -> None:
    paper, every = Published("table5"), Column(group="", name="All", of="all", paper="alfworld_all")
    means = {
        (zeta, k): paper.number(Row(model="qwen2.5-1.5b", method="grpo", empg="full", zeta=zeta, k=k), every)
        for zeta, k in ((0.1, 1.0), (0.05, 1.5), (0.2, 1.0))
    }
    assert [number and number.mean for number in means.values()] == [78.5, 73.8, None]


def test_averages_are_recomputed() -> None:
    """Off: (38.8 + 80.8)/2 = 59.8, as printed. Full: (41.8 + 84.8)/2 = 63.3, printed 63.7."""
    paper = Published("table2")
    off, full = (
        paper.number(Row(model="qwen2.5-32b", method="dapo", empg=arm, zeta=None if arm == "off" else 0.1), OOD)
        for arm in ("off", "full")
    )
    assert off is not None
    assert full is not None
    assert (off.mean, off.printed, off.is_wrong) == (pytest.approx(59.8), 59.8, False)
    assert (full.mean, full.printed, full.is_wrong) == (pytest.approx(63.3), 63.7, True)


def test_what_is_wrong_with_the_paper_is_found_in_its_numbers() -> None:
    tables = specifications()
    assert {name: len(errors_of(table, tables)) for name, table in tables.items()} == {
        "table1": 0, "table2": 1, "table5": 1, "table6": 0, "controls_alfworld": 0, "controls_deepsearch": 0,
    }  # fmt: skip


def test_a_corrected_paper_has_nothing_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """63.3 printed, and another digit in table 5: nothing is said; so nothing is said by heart."""
    tables = specifications()
    for name, wrong, right in (
        ("table2", "84.8,63.7", "84.8,63.3"),
        ("table5", "85.5,4.8", "85.5,4.9"),
        ("table1", "", ""),
    ):
        (tmp_path / f"{name}.csv").write_text((PAPER / f"{name}.csv").read_text().replace(wrong, right))
    monkeypatch.setattr(published, "PAPER", tmp_path)
    assert [errors_of(tables[name], tables) for name in ("table2", "table5")] == [[], []]


@pytest.mark.parametrize("name", ["table1", "table2", "table5", "table6"])
def test_every_row_has_its_line_and_every_line_of_the_papers_own_its_row(name: str) -> None:
    specification, paper = specifications()[name], Published(name)
    lines = [paper.line(row) for row in specification.rows]
    assert all(line is not None for line in lines)
    with (PAPER / f"{name}.csv").open() as file:
        own = [n for n, line in enumerate(csv.DictReader(file)) if line.get("origin", "EMPG") == "EMPG"]
    assert {line.name for line in lines if line is not None} >= set(own)
    for row in specification.rows:
        for entries in specification.columns.values():
            assert all(paper.number(row, column) for column in entries if isinstance(column, Column))
