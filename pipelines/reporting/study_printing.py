"""A table of a study as text: the grids that Markdown and LaTeX share, and what stands below them."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.reporting import deviations
from pipelines.reporting.markup import Grid, Heading, latex_list, latex_table, markdown_table
from pipelines.reporting.printing import CAUTION, percent, remark_of
from pipelines.reporting.published import Number
from pipelines.reporting.specification import Column, Row
from pipelines.reporting.statistics import RESAMPLES, Estimate
from pipelines.reporting.study_tables import Contrast, Line, StudyTable

_NONE = "–"
_LABELS = {
    "model": "Model",
    "method": "Method",
    "empg": "EMPG",
    "zeta": "ζ",
    "k": "k",
    "normalization": "Normalised over",
}


def markdown(table: StudyTable) -> str:
    parts = [f"# {title_of(table)}"]
    for grid in grids_of(table):
        parts += [f"## {grid.title}", markdown_table(grid.names, grid.rows)]
    return "\n\n".join([*parts, *notes_of(table)]) + "\n"


def show(table: StudyTable) -> None:
    """Print its numbers and its differences to the terminal."""
    from pipelines.reporting.terminal import console, show_grid

    here = console()
    here.print(title_of(table), "", sep="\n", highlight=False)
    for grid in (_means(table), _differences(table)):
        if grid.rows:
            show_grid(here, grid)


def latex(table: StudyTable) -> str:
    """To be read by ``\\input``; needs booktabs."""
    parts = [r"% Needs \usepackage{booktabs}."]
    for number, grid in enumerate(grids_of(table)):
        title = table.specification.title if number else title_of(table)
        parts.append(latex_table(grid, f"{title}. {grid.title}", f"{table.name}-{number}" if number else table.name))
    return "\n\n".join([*parts, latex_list(notes_of(table))]) + "\n"


def title_of(table: StudyTable) -> str:
    if table.scale is None:
        return f"{table.specification.title} — none of its cells was run"
    title = f"{table.specification.title}, {table.scale} scale"
    if table.stand_in:
        title += " — stand-in models made here: not comparable with the paper's numbers"
    return title


def grids_of(table: StudyTable) -> list[Grid]:
    """The table in the paper's layout, then what it rests on."""
    grids = [_means(table), _intervals(table), _differences(table), _sizes(table), _deviations(table)]
    return [grid for grid in grids if grid.rows]


def notes_of(table: StudyTable) -> list[str]:
    notes = [
        "Mean ± standard deviation over seeds; intervals by a two-level bootstrap over seeds and tasks "
        f"({RESAMPLES:,} resamples; tasks of an average within their type); p-values from the same bootstrap, corrected by "
        f"Holm for the number of comparisons. {CAUTION}"
    ]
    if table.contrasts:
        noise = sum(contrast.is_noise for contrast in table.contrasts)
        untold = sum(contrast.verdict == "few seeds" for contrast in table.contrasts)
        more = f"; {untold} may be more, which so few seeds cannot tell" if untold else ""
        notes.append(f"{noise} of {len(table.contrasts)} differences to EMPG off are noise{more}.")
    if table.published:
        seeds = table.specification.seeds
        notes.append(f"The paper: arXiv 2509.09265, {seeds if seeds else 'an unstated number of'} runs each.")
    if table.scale and not table.deviations:
        notes.append("Every setting is that of scale=paper.")
    if table.missing:
        notes.append(f"Missing: {'; '.join(table.missing)}.")
    return notes + [remark_of(remark) for remark in table.remarks]


def _means(table: StudyTable) -> Grid:
    rows = []
    for line in table.lines:
        ours = (_mean(line.numbers.get(shown)) for shown in table.columns)
        if not table.published:
            rows.append((*_label(table, line.row), *ours))
            continue
        paper = (_papers(table.published.get((line.row, column))) for _, column in table.columns)
        rows += [(*_label(table, line.row), "here", *ours), (*_label(table, line.row), "paper", *paper)]
    return _grid(table, "Mean ± standard deviation over seeds (%)", rows, ["Numbers"] if table.published else [])


def _intervals(table: StudyTable) -> Grid:
    rows = [
        (*_label(table, line.row), *(_interval(line.numbers.get(shown)) for shown in table.columns))
        for line in table.lines
        if line.numbers
    ]
    return _grid(table, "95 % intervals (%)", rows)


def _differences(table: StudyTable) -> Grid:
    header = ["Measured", "Seeds", "Tasks", "Difference", "95 % interval", "p (Holm)", "Verdict"]
    rows = tuple((*_label(table, contrast.row), *_contrast(table, contrast)) for contrast in table.contrasts)
    words = len(table.specification.labels) + 1
    title = "Paired differences to EMPG off (points; same seeds, same tasks)"
    return Grid(title, tuple(map(Heading, (*_labels(table), *header))), rows, words)


def _sizes(table: StudyTable) -> Grid:
    benchmarks = list(table.specification.columns)
    rows = tuple(
        (*_label(table, line.row), *(_size(line, benchmark) for benchmark in benchmarks))
        for line in table.lines
        if line.runs
    )
    header = tuple(map(Heading, (*_labels(table), *benchmarks)))
    return Grid("Seeds and tasks", header, rows, len(header))


def _deviations(table: StudyTable) -> Grid:
    rows = tuple((d.setting, d.here, d.paper, where) for d, where in table.deviations.items())
    return Grid(deviations.TITLE, tuple(map(Heading, deviations.HEADER)), rows, len(deviations.HEADER))


def _grid(table: StudyTable, title: str, rows: Sequence[tuple[str, ...]], more: Sequence[str] = ()) -> Grid:
    """In the paper's layout."""
    words = list(map(Heading, (*_labels(table), *more)))
    columns = [Heading(column.name, column.group, _alone(table, column)) for _, column in table.columns]
    return Grid(title, (*words, *columns), tuple(rows), len(words))


def _alone(table: StudyTable, column: Column) -> str:
    """With the benchmark where there are several."""
    return f"{column.group} {column.name}" if len(table.specification.columns) > 1 else column.name


def _labels(table: StudyTable) -> list[str]:
    return [_LABELS[label] for label in table.specification.labels]


def _label(table: StudyTable, row: Row) -> list[str]:
    texts = {
        "model": row.model,
        "method": {"prompting": "prompting", "react": "ReAct"}.get(row.method, row.method.upper()),
        "empg": (row.empg or _NONE).replace("_", " "),
        "zeta": str(row.zeta) if row.has_strength else _NONE,
        "k": str(row.k) if row.has_strength else _NONE,
        "normalization": row.normalization if row.has_strength else _NONE,
    }
    return [texts[label] for label in table.specification.labels]


def _mean(e: Estimate | None) -> str:
    return _NONE if e is None else f"{percent(e.mean)} ± {percent(e.sd)}"


def _interval(e: Estimate | None) -> str:
    return _NONE if e is None else f"{percent(e.low)} – {percent(e.high)}"


def _papers(number: Number | None) -> str:
    if number is None:
        return _NONE
    text = f"{number.mean:.1f}" if number.pm is None else f"{number.mean:.1f} ± {number.pm:.1f}"
    return f"{text} (printed: {number.printed:.1f})" if number.is_wrong else text


def _contrast(table: StudyTable, contrast: Contrast) -> list[str]:
    d, name = contrast.difference, _alone(table, contrast.shown[1])
    interval = f"{100 * d.low:+.1f} – {100 * d.high:+.1f}"
    return [
        name,
        str(d.seeds),
        str(d.tasks),
        f"{100 * d.mean:+.1f}",
        interval,
        f"{contrast.corrected:.3f}",
        contrast.verdict,
    ]


def _size(line: Line, benchmark: str) -> str:
    runs = line.runs.get(benchmark)
    if not runs:
        return _NONE
    tasks = int((runs[0].evaluations["iteration"] == runs[0].last).sum())
    return f"seeds {', '.join(str(run.seed) for run in runs)}; {tasks} tasks"
