"""The table of every cell that was run: for studies that are none of the paper's tables, as a demo or a single run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipelines.reporting.names import benchmark_title, in_papers_order, parts_in_order, place, short_name
from pipelines.reporting.results import RunResult
from pipelines.reporting.specification import Column, Row, Specification

NAME = "cells"
_OPTIONAL = ("zeta", "k", "k_future", "normalization")


def specification_of(runs: Sequence[RunResult]) -> Specification:
    """A row for each cell. Of each benchmark, by each of its measures: the panel before and after training, the averages whose
    task types were all played, and the task types."""
    runs = in_papers_order(runs)
    rows = tuple(dict.fromkeys(Row.of(run.config) for run in runs))
    benchmarks = sorted({run.info.benchmark for run in runs}, key=lambda name: place("benchmarks", name))
    columns = {
        name: tuple(_columns([run for run in runs if run.info.benchmark == name], len(benchmarks) > 1))
        for name in benchmarks
    }
    strengths = [row for row in rows if row.has_strength]
    varied = [name for name in _OPTIONAL if len({getattr(row, name) for row in strengths}) > 1]
    models = ["model"] if len({row.model for row in rows}) > 1 else []
    title = f"{', '.join(map(benchmark_title, benchmarks))}: {', '.join(dict.fromkeys(row.model for row in rows))}"
    return Specification(
        name=NAME, title=title, labels=(*models, "method", "empg", *varied), columns=columns, rows=rows
    )


def _measures(runs: Sequence[RunResult]) -> dict[str, str]:
    """Success first. A measure that equals it in every episode stands beside its name, and has no columns of its own."""
    first, *others = sorted(runs[0].info.measures.items(), key=lambda item: item[0] != "success")
    equal = [
        label
        for measure, label in others
        if all(
            (run.evaluations[measure].astype(float) == run.evaluations["success"].astype(float)).all() for run in runs
        )
    ]
    return {first[0]: " = ".join([first[1], *equal])} | {m: label for m, label in others if label not in equal}


def _columns(runs: Sequence[RunResult], several: bool) -> Iterator[Column]:
    """``several``: there are other benchmarks, so that the headings name this one."""
    info = runs[0].info
    types = parts_in_order(info.benchmark, runs[0].evaluations["task_type"])
    averages = [name for name, members in info.averages.items() if members and set(members) <= set(types)]
    parts = [*averages, *(types if len(types) > 1 else [])]
    for measure, label in _measures(runs).items():
        group = f"{benchmark_title(info.benchmark)} {label}" if several else label[0].upper() + label[1:]
        if any(run.last > 0 for run in runs):
            yield Column(group=group, name="before RL", of="all", measure=measure, at="start")
        yield Column(group=group, name="all", of="all", measure=measure, compared=True)
        for part in parts:
            yield Column(group=group, name=short_name(info.benchmark, part), of=part, measure=measure)
