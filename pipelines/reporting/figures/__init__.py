"""The figures of a study, one module each: ``draw(runs) → Figure`` with its title and caption (``style.Figure``).

``python -m pipelines.reporting figures NAME`` draws one as PNG, SVG and PDF; each is a DVC stage of its own.
"""

from importlib import import_module
from pathlib import Path

FIGURES = (
    "learning_curves", "final_bars", "kl", "step_entropy", "entropy_change", "modulation", "step_advantages", "step_columns",
    "proposition1",
)  # fmt: skip
"""The modules, in the report's order."""


def write_figure(name: str, runs: Path, out: Path) -> None:
    """``name``.png, .svg and .pdf; the same results give the same bytes. Raises DataError naming a bad file."""
    from pipelines.reporting.figures.study import comparable_study
    from pipelines.reporting.results import read_study

    study = comparable_study(read_study(runs))
    figure = import_module(f"{__name__}.{name}").draw(study)
    out.mkdir(parents=True, exist_ok=True)
    figure.save(out / name)
