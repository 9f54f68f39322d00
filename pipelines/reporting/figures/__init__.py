"""The figures of a study, one module each: ``draw(runs) → Figure`` with its title and caption (``style.Figure``).

``python -m pipelines.reporting.figures NAME`` draws one as PNG and SVG; each is a DVC stage of its own.
"""
