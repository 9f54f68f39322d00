"""A table of a study as text: what each of its printed tables shows, and what stands below them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipelines.reporting import deviations
from pipelines.reporting.comparable import start_of
from pipelines.reporting.names import papers_names
from pipelines.reporting.published import Number
from pipelines.reporting.rendering import Document, Heading, Table, csv_text, interval_text
from pipelines.reporting.specification import Column, Row, Specification
from pipelines.reporting.statistics import FEW_SEEDS, POWER, Estimate
from pipelines.reporting.tables import Contrast, Line, Shown, StudyTable

MEASURED, NUMBERS = "Measured", "Numbers"  # headings: what a difference is of; whose numbers a row has
_NONE = "–"
_LABELS = {
    "model": "Model", "method": "Method", "empg": "EMPG", "zeta": "ζ", "k": "k", "k_future": "k′",
    "normalization": "Normalised over",
}  # fmt: skip
_ROW = ("model", "method", "empg", "zeta", "k", "normalization")
_COLUMN = ("benchmark", "group", "column", "measure")
_NUMBERS = ("mean", "sd", "low", "high", "seeds", "tasks")
_PAPER = ("paper_mean", "paper_pm", "paper_printed")
_DIFFERENCE = ("seeds", "tasks", "difference", "low", "high", "p", "p_holm", "detectable", "verdict")

METHOD = (
    "Mean ± standard deviation over seeds; intervals and p-values by a crossed model of seeds and tasks (Satterthwaite's degrees of "
    "freedom; tasks of an average within their type), p corrected by Holm for the number of comparisons. In simulated studies of 3 to "
    "25 seeds and 64 to 1,024 tasks the intervals of differences held the truth in 92 to 98 %. "
    "“noise”: inside what seeds and tasks vary by, which does not say that there is no difference. Detectable: the true difference "
    f"that {POWER:.0%} of studies with this error would tell from 0, at the first step of Holm's correction; few seeds know the error "
    "poorly, so that in simulated studies of 3 seeds 40 to 94 % would, of 25 seeds 67 to 88 %. "
    f"Below {FEW_SEEDS} seeds there is no verdict but noise."
)

_ONE_START = "All runs of a benchmark begin with one warm start: what another one would bring is in no interval."
_STARTS = (
    "Seeds stand within warm starts, which are a component of intervals and p-values where a row has several: in simulated studies of "
    "3 to 15 warm starts of 2 to 5 seeds the intervals of differences held the truth in 90 to 98 %, of two in 85 to 98 %, so that "
    "these too have no verdict but noise. Of a row with one warm start, what another one would bring is in no interval."
)


def document_of(table: StudyTable) -> Document:
    """The table in the paper's layout, what it rests on, and what a reader must know of it."""
    tables = (_means(table), _intervals(table), _differences(table), _sizes(table), _deviations(table))
    shown = tuple(printed for printed in tables if printed.rows)
    return Document(title_of(table), shown, tuple(_notes(table)), table.specification.title)


def summary_of(table: StudyTable) -> Document:
    """The numbers, the differences and the remarks: for a terminal."""
    tables = tuple(printed for printed in (_means(table), _differences(table)) if printed.rows)
    return Document(title_of(table), tables, tuple(map(_remark, table.remarks)))


def title_of(table: StudyTable) -> str:
    if table.scale is None:
        return f"{table.specification.title} — none of its cells was run"
    title = f"{table.specification.title}, {table.scale} scale"
    if table.stand_in:
        title += " — stand-in models made here: not comparable with the paper's numbers"
    return title


def _notes(table: StudyTable) -> list[str]:
    several = any(number.starts > 1 for line in table.lines for number in line.numbers.values())
    notes = [METHOD, *([_STARTS] if several else [_ONE_START] if table.stand_in else [])]
    if table.contrasts:
        noise, few = (sum(contrast.verdict == word for contrast in table.contrasts) for word in ("noise", "few seeds"))
        more = f"; {few} may be more, which so few seeds cannot tell" if few else ""
        notes.append(f"{noise} of {len(table.contrasts)} differences to EMPG off are noise{more}.")
    if table.published:
        seeds = table.specification.seeds
        notes.append(f"The paper: arXiv 2509.09265, {seeds if seeds else 'an unstated number of'} runs each.")
    if table.scale and table.deviations is not None and not table.deviations:
        notes.append("Every setting is that of scale=paper.")
    if table.missing:
        notes.append(f"Missing: {'; '.join(table.missing)}.")
    return [*notes, *map(_remark, table.remarks)]


def _remark(remark: str) -> str:
    return f"Remark: {remark}."


# --------------------------------------------------------------------------------------------------------------- as CSV


def numbers_csv(table: StudyTable) -> str:
    """A line per row and column of the table, also where nothing was run; the paper's numbers at its scale alone. All digits,
    in percent like the paper's own (``paper/*.csv``)."""
    lines = []
    for line in table.lines:
        for shown in table.columns:
            e, number = line.numbers.get(shown), table.published.get((line.row, shown[1]))
            ours = (
                [_points(v) for v in (e.mean, e.sd, e.low, e.high)] + [e.seeds, e.tasks] if e else [""] * len(_NUMBERS)
            )
            paper = [number.mean, number.pm, number.printed] if number else [""] * len(_PAPER)
            lines.append(
                [*_row_values(table, line.row), *_column_values(*shown), *ours, *(paper if table.published else [])]
            )
    return csv_text([*_row_names(table), *_COLUMN, *_NUMBERS, *(_PAPER if table.published else ())], lines)


def differences_csv(table: StudyTable) -> str:
    """A line per row, column and difference to EMPG off."""
    lines = []
    for c in table.contrasts:
        d = c.difference
        several = [d.starts] if _has_starts(table) else []
        numbers = [d.seeds, *several, d.tasks, *(_points(v) for v in (d.mean, d.low, d.high))]
        tested = [d.p, c.corrected, _points(c.detectable), c.verdict]
        lines.append([*_row_values(table, c.row), *_column_values(*c.shown), *numbers, *tested])
    names = [_DIFFERENCE[0], *(["warm_starts"] if _has_starts(table) else []), *_DIFFERENCE[1:]]
    return csv_text([*_row_names(table), *_COLUMN, *names], lines)


def _has_starts(table: StudyTable) -> bool:
    """Whether a difference is over several warm starts; elsewhere no column says that it is one."""
    return any(contrast.difference.starts > 1 for contrast in table.contrasts)


def _row_names(table: StudyTable) -> list[str]:
    """k′ has a column where it tells rows apart; elsewhere it is k."""
    return [*_ROW, *(["k_future"] if "k_future" in table.specification.labels else [])]


def _row_values(table: StudyTable, row: Row) -> list[object]:
    values = {**row.model_dump(), "k_future": row.k if row.k_future is None else row.k_future}
    unused = set() if row.has_strength else {"zeta", "k", "k_future", "normalization"}
    return ["" if name in unused or values[name] is None else values[name] for name in _row_names(table)]


def _column_values(benchmark: str, column: Column) -> list[str]:
    return [benchmark, column.group, column.name, column.measure]


def _points(share: float) -> float | str:
    return "" if math.isnan(share) else 100 * share


# ------------------------------------------------------------------------------------------------- the tables of a table


def _means(table: StudyTable) -> Table:
    rows = []
    for line in table.lines:
        ours = (_mean(line.numbers.get(shown)) for shown in table.columns)
        if not table.published:
            rows.append((*row_labels(table.specification, line.row), *ours))
            continue
        paper = (_papers(table.published.get((line.row, column))) for _, column in table.columns)
        rows += [
            (*row_labels(table.specification, line.row), "here", *ours),
            (*row_labels(table.specification, line.row), "paper", *paper),
        ]
    return _layout(table, "Mean ± standard deviation over seeds (%)", rows, [NUMBERS] if table.published else [])


def _intervals(table: StudyTable) -> Table:
    rows = [
        (*row_labels(table.specification, line.row), *(_interval(line.numbers.get(shown)) for shown in table.columns))
        for line in table.lines
        if line.numbers
    ]
    return _layout(table, "95 % intervals (%)", rows)


def _differences(table: StudyTable) -> Table:
    header = [MEASURED, "Seeds", "Tasks", "Difference", "95 % interval", "p (Holm)", "Detectable", "Verdict"]
    rows = tuple(
        (*row_labels(table.specification, contrast.row), *_contrast(table, contrast)) for contrast in table.contrasts
    )
    words = len(table.specification.labels) + 1
    title = "Paired differences to EMPG off (points; same seeds, same tasks)"
    return Table(title, tuple(map(Heading, (*_labels(table), *header))), rows, words)


def _sizes(table: StudyTable) -> Table:
    benchmarks = list(table.specification.columns)
    rows = tuple(
        (*row_labels(table.specification, line.row), *(_size(line, benchmark) for benchmark in benchmarks))
        for line in table.lines
        if line.runs
    )
    header = tuple(map(Heading, (*_labels(table), *benchmarks)))
    return Table("Seeds and tasks", header, rows, len(header))


def _deviations(table: StudyTable) -> Table:
    rows = tuple((d.setting, d.here, d.paper, where) for d, where in (table.deviations or {}).items())
    return Table(deviations.TITLE, tuple(map(Heading, deviations.HEADER)), rows, len(deviations.HEADER))


def _layout(table: StudyTable, title: str, rows: Sequence[tuple[str, ...]], more: Sequence[str] = ()) -> Table:
    """A printed table in the paper's layout."""
    words = list(map(Heading, (*_labels(table), *more)))
    columns = [
        Heading(column.name, column.group, column_name(table.specification, table.columns, column))
        for _, column in table.columns
    ]
    return Table(title, (*words, *columns), tuple(rows), len(words))


def column_name(specification: Specification, columns: Sequence[Shown], column: Column) -> str:
    """What one of a table's columns is called where there is no line for groups: with its group, which names the benchmark or the
    measure, if there are several benchmarks or columns of the same name."""
    names = [shown.name for _, shown in columns]
    several = len(specification.columns) > 1 or len(set(names)) < len(names)
    return f"{column.group} {column.name}" if several else column.name


def _labels(table: StudyTable) -> list[str]:
    return [_LABELS[label] for label in table.specification.labels]


def row_labels(specification: Specification, row: Row) -> list[str]:
    """What stands in a row's columns of words."""
    strength = {"zeta": row.zeta, "k": row.k, "k_future": row.k if row.k_future is None else row.k_future}
    texts = {
        "model": row.model,
        "method": papers_names()["methods"].get(row.method, row.method.upper()),
        "empg": (row.empg or _NONE).replace("_", " "),
        "normalization": row.normalization if row.has_strength else _NONE,
        **{name: str(value) if row.has_strength else _NONE for name, value in strength.items()},
    }
    return [texts[label] for label in specification.labels]


def _percent(share: float) -> str:
    return _NONE if math.isnan(share) else f"{100 * share:.1f}"


def _mean(e: Estimate | None) -> str:
    """Of one seed there is no deviation."""
    if e is None:
        return _NONE
    return _percent(e.mean) if math.isnan(e.sd) else f"{_percent(e.mean)} ± {_percent(e.sd)}"


def _interval(e: Estimate | None) -> str:
    return _NONE if e is None else interval_text(e.low, e.high)


def _papers(number: Number | None) -> str:
    if number is None:
        return _NONE
    text = f"{number.mean:.1f}" if number.pm is None else f"{number.mean:.1f} ± {number.pm:.1f}"
    return f"{text} (printed: {number.printed:.1f})" if number.is_wrong else text


def _contrast(table: StudyTable, contrast: Contrast) -> list[str]:
    d, name = contrast.difference, column_name(table.specification, table.columns, contrast.shown[1])
    interval = interval_text(d.low, d.high, "+")
    tested = [f"{contrast.corrected:.3f}", _detectable(contrast.detectable), contrast.verdict]
    seeds = f"{d.seeds} ({d.starts} warm starts)" if d.starts > 1 else str(d.seeds)
    return [name, seeds, str(d.tasks), f"{100 * d.mean:+.1f}", interval, *tested]


def _detectable(share: float) -> str:
    return "> 100" if share > 1 else _percent(share)


def _size(line: Line, benchmark: str) -> str:
    runs = line.runs.get(benchmark)
    if not runs:
        return _NONE
    evaluations = runs[0].evaluations
    tasks = evaluations.loc[evaluations["iteration"] == runs[0].last, "task_id"].nunique()
    of_starts: dict[int, list[str]] = {}
    for run in runs:
        of_starts.setdefault(start_of(run.config), []).append(str(run.seed))
    texts = [f"seeds {', '.join(seeds)}" for seeds in of_starts.values()]
    if len(texts) > 1:
        texts = [f"warm start {start}: {text}" for start, text in zip(of_starts, texts, strict=True)]
    return f"{'; '.join(texts)}; {tasks} tasks"
