"""Every cell of the paper's in conf/experiment is a row of the table that its folder is named after, and every row has its cell."""

from __future__ import annotations

from flows.configure.cells import cells
from flows.configure.compose import compose_all
from pipelines.reporting.specification import specifications


def test_cells_and_rows_are_the_same() -> None:
    asked = [cell for cell in cells() if not cell.startswith("credit/")]
    composed = compose_all([[f"+experiment={cell}", "scale=paper"] for cell in asked])
    configs = {cell: run.experiment.values() for cell, run in zip(asked, composed, strict=True)}
    rows = {
        (name, benchmark, str(row)): {
            cell for cell, config in configs.items() if config["benchmark"]["name"] == benchmark and row.holds(config)
        }
        for name, table in specifications().items()
        for benchmark in table.columns
        for row in table.rows
    }
    assert [row for row, held in rows.items() if not held] == []
    for cell in configs:
        folder = cell.partition("/")[0]
        assert any(cell in held for (name, *_), held in rows.items() if name.startswith(folder)), cell
