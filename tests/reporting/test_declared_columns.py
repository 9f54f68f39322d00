"""A method that this package has never heard of: its columns stand in the viewer, the figure and the tables beside EMPG's."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.reporting.cells import specification_of
from pipelines.reporting.figures import modulation, step_advantages, step_columns
from pipelines.reporting.figures.steps import symbol
from pipelines.reporting.figures.style import Figure, pyplot
from pipelines.reporting.page.build import write_page
from pipelines.reporting.printing import document_of
from pipelines.reporting.rendering import markdown
from pipelines.reporting.results import read_study
from pipelines.reporting.tables import make_table
from tests.reporting.analyses import add_trajectories, trajectory
from tests.reporting.results import write_results

COLUMNS = [
    {"name": "A", "label": "advantage before modulation", "unit": ""},
    {"name": "Ret", "label": "return of the step's anchor state", "unit": "points"},
    {"name": "A_S", "label": "step advantage", "unit": ""},
    {"name": "A_final", "label": "final advantage", "unit": ""},
]
EMPGS = ["H", "H_norm", "g", "f", "A_mod"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GRPO under two arms of EMPG, and "gigraph" under "sharpen", which declare other columns."""
    root = tmp_path_factory.mktemp("declared") / "runs"
    for arm, final in (("off", [1.0, 1.0]), ("full", [2.0, 0.5])):
        folder = write_results(root, "grpo", arm, 0, {0: [0], 2: [1]})
        gain = [1.5, 0.5] if arm == "full" else [1.0, 1.0]
        add_trajectories(folder, trajectory(A_final=final, g=gain, f=[0.7 * (arm == "full"), 0.0]))
    folder = write_results(root, "gigraph", "sharpen", 0, {0: [0], 2: [1]}, said={"columns": COLUMNS})
    steps = trajectory(A=[0.25, -1.0], A_final=[3.0, -2.0]).drop(columns=EMPGS)
    add_trajectories(folder, steps.assign(Ret=[7.5, 2.5], A_S=[1.25, -0.75]))
    return root


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    pyplot().close("all")


def lines_of(figure: Figure) -> dict[str, dict[str, list[float]]]:
    """y label → label → y, of axes that show a line."""
    found: dict[str, dict[str, list[float]]] = {}
    for ax in figure.plot.axes:
        for line in ax.get_lines():
            if not line.get_label().startswith("_"):
                found.setdefault(ax.get_ylabel(), {})[line.get_label()] = list(line.get_ydata())
    return found


def test_a_figure_has_a_row_for_each_declared_column(study: Path) -> None:
    figure = step_columns.draw(read_study(study))
    lines = lines_of(figure)
    assert lines["Ret (points)"] == {"sharpen": [7.5, 2.5]}
    assert lines["$A_{S}$"] == {"sharpen": [1.25, -0.75]}
    assert lines["g"] == {"EMPG off": [1.0, 1.0], "EMPG full": [1.5, 0.5]}
    assert len(figure.plot.axes) == 2 * (7 + len(COLUMNS)), "a success and a failure of each"
    assert "Ret: return of the step's anchor state" in figure.caption


def test_what_two_methods_of_a_panel_declare_stands_below_each_other(tmp_path: Path) -> None:
    """Of a column that one alone declares, the other has no line."""
    add_trajectories(write_results(tmp_path, "grpo", "off", 0, {0: [0], 2: [1]}), trajectory())
    other = write_results(tmp_path, "grpo", "sharpen", 0, {0: [0], 2: [1]}, said={"columns": COLUMNS})
    add_trajectories(other, trajectory().drop(columns=EMPGS).assign(Ret=1.0, A_S=2.0))
    lines = lines_of(step_columns.draw(read_study(tmp_path)))
    assert list(lines["Ret (points)"]) == ["sharpen"]
    assert list(lines["g"]) == ["EMPG off"]
    assert list(lines["$A_{final}$"]) == ["EMPG off", "sharpen"]


def test_the_final_advantage_is_drawn_whatever_else_is_declared(study: Path, tmp_path: Path) -> None:
    """The strip of entropies stands below where they are declared, and is left out elsewhere."""
    shutil.copytree(study / "test-alfworld-tiny-gigraph-sharpen", tmp_path / "sharpen")
    figure = step_advantages.draw(read_study(tmp_path))
    assert lines_of(figure) == {"$A_{final}$": {"sharpen": [3.0, -2.0]}}
    assert not any(ax.patches for ax in figure.plot.axes)
    assert "entropy" not in figure.caption


def test_the_theory_of_empg_is_drawn_for_runs_that_declare_it(study: Path, tmp_path: Path) -> None:
    gain, clarity = modulation.draw(read_study(study)).plot.axes
    assert gain.get_lines()[1].get_ydata().tolist() == [1.5, 0.5], "full: under off, g is the same at every step"
    assert clarity.get_lines()[1].get_ydata().tolist() == [0.7]
    shutil.copytree(study / "test-alfworld-tiny-gigraph-sharpen", tmp_path / "sharpen")
    assert modulation.draw(read_study(tmp_path)).caption.startswith("Not drawn. ")


def test_a_table_has_a_row_for_it(study: Path) -> None:
    runs = read_study(study)
    text = markdown(document_of(make_table(specification_of(runs), runs)))
    assert "| GIGRAPH | sharpen |" in text


def viewer(page: Path, *cell: str) -> Any:
    script = Path(__file__).with_name("viewer_in_node.js")
    done = subprocess.run(["node", script, page, *cell], capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_viewer_shows_the_columns_of_the_run_that_is_chosen(study: Path, tmp_path: Path) -> None:
    page = write_page(study, tmp_path)
    shown = viewer(page, "GIGRAPH, sharpen")["shown"]
    numbers = [
        (attributes["title"], n)
        for n, (tag, attributes, _) in enumerate(shown)
        if "title" in attributes and tag == "div"
    ]
    assert [title for title, _ in numbers[:5]] == [
        "advantage before modulation", "return of the step's anchor state (points)", "step advantage", "final advantage",
        "reward of the step",
    ]  # fmt: skip
    assert [text for tag, _, text in shown if tag == "dd"] == [
        *("0.25", "7.5", "1.25", "3", "0"), *("-1", "2.5", "-0.75", "-2", "0"),
    ]  # fmt: skip
    assert next(text for tag, _, text in shown if tag == "text") == "A_final: final advantage"
    (hover,) = (text for tag, _, text in shown if tag == "title" and text.startswith("Step 2"))
    assert hover == "Step 2: A -1, Ret 2.5, A_S -0.75, A_final -2"
    marks = [tag for tag, attributes, _ in shown if tag == "rect" and attributes["fill"] != "transparent"]
    assert len(marks) == 2 * 3, "a bar for each step and column but the final advantage, which is a line"


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_viewer_begins_with_credit_that_tells_steps_apart(study: Path, tmp_path: Path) -> None:
    assert viewer(write_page(study, tmp_path))["cell"] in ("GRPO, EMPG full", "GIGRAPH, sharpen")
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    shutil.copytree(study / "test-alfworld-tiny-grpo-off", tmp_path / "runs" / "off")
    assert viewer(write_page(tmp_path / "runs", tmp_path))["cell"] == "GRPO, EMPG off"


@pytest.mark.parametrize(
    ("name", "shown"),
    [("A_final", "$A_{final}$"), ("g", "g"), ("Σπ²", "Σπ²"), ("cost_$", r"cost_\$"), ("a_b_c", "a_b_c")],
)
def test_any_name_can_stand_at_an_axis(name: str, shown: str) -> None:
    """matplotlib takes what stands between two dollars for mathematics, and refuses most of it."""
    assert symbol(name) == shown
    figure, ax = pyplot().subplots()
    ax.set_ylabel(symbol(name))
    figure.canvas.draw()
