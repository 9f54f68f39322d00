"""The figures of a study, one module each: ``draw(runs) → Figure`` with its title and caption (``style.Figure``).

``python -m pipelines.reporting.figures NAME`` draws one as PNG and SVG; each is a DVC stage of its own.
"""

FIGURES = (
    "learning_curves", "final_bars", "kl", "step_entropy", "entropy_change", "modulation", "step_advantages", "step_columns",
    "proposition1",
)  # fmt: skip
"""The modules, in the report's order."""
