"""The power of studies as tables: what differences vary by, how many pairs of runs a design needs, and what these cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from pipelines.errors import DataError
from pipelines.reporting.comparable import seeds_of_both, start_of
from pipelines.reporting.figures.study import comparable_study, panels, trained
from pipelines.reporting.names import benchmark_title
from pipelines.reporting.power import (
    Component,
    Components,
    Design,
    Paired,
    components_of,
    detectable,
    rejected,
    seeds_needed,
)
from pipelines.reporting.rendering import Document, Heading, Table
from pipelines.reporting.results import RunResult, outcomes
from pipelines.reporting.statistics import LEVEL, POWER

EFFECTS = (0.03, 0.05, 0.08)
TASKS, SAMPLES = (128, 512, 1024), (1, 4)
PER_START = 2  # seeds of each warm start, where there is more than one
Hours = Callable[[Design], float]  # of both arms, a core's


@dataclass(frozen=True)
class Asked:
    """``comparisons``: among which Holm corrects. ``simulate``: studies of each design that are played by dice to check it."""

    comparisons: int = 1
    simulate: int = 0


def power_of(runs: Sequence[RunResult], asked: Asked, hours: Callable[[RunResult], Hours]) -> list[Document]:
    """Of each benchmark. ``hours``: of designs with runs like one.

    Raises:
        DataError: no two arms of a cell have two seeds in common, or runs cannot be compared.
    """
    comparable_study(runs)
    found = []
    for benchmark in dict.fromkeys(run.info.benchmark for run in runs):
        own = [run for run in trained(runs) if run.info.benchmark == benchmark]
        if pairs := list(pairs_of(own)):
            found.append(_document(benchmark, pairs, asked, own[0].info.model, hours(own[0])))
    if not found:
        raise DataError(
            "no two arms of a cell (EMPG off and another) have two seeds in common, so nothing says how much they vary: run them, as "
            "`python -m flows -m empg=off,full seed=0,1,2`"
        )
    return found


def pairs_of(runs: Sequence[RunResult]) -> Iterator[Paired]:
    """Every arm beside EMPG off where they share two seeds, at the last evaluation; every task weighs the same."""
    for panel in panels(runs):
        off = [series for series in panel.series if series.arm == "off"]
        for series in panel.series if off else ():
            one, other = seeds_of_both(series.runs, off[0].runs) if series.arm != "off" else ([], [])
            if len(one) > 1:
                values, _ = outcomes([*one, *other], "success")
                samples = int(one[0].config.get("evaluation", {}).get("samples", 1))
                yield Paired(values[: len(one)], values[len(one) :], [start_of(run.config) for run in one], samples)


def _document(benchmark: str, pairs: Sequence[Paired], asked: Asked, model: str, hours: Hours) -> Document:
    parts, tasks = components_of(pairs), pairs[0].treatment.shape[1]
    several = parts.start.df > 0
    designs = [Design(2 if several else 1, PER_START if several else 3, t, s) for t, s in product(TASKS, SAMPLES)]
    tables = [_varies(parts, pairs), _needed(parts, designs, asked, hours), _told(parts, pairs, asked)]
    if asked.simulate:
        tables.append(_simulated(parts, designs, asked))
    runs = sum(len(pair.treatment) for pair in pairs)
    title = (
        f"{benchmark_title(benchmark)}: {len(pairs)} differences to EMPG off, of {runs} pairs of runs on {tasks} tasks"
    )
    return Document(title, tuple(tables), tuple(_notes(asked, model, several)))


def _notes(asked: Asked, model: str, several: bool) -> Iterator[str]:
    among = "alone" if asked.comparisons == 1 else f"the first of {asked.comparisons} by Holm's correction"
    yield (
        f"Power {POWER:.0%} at {LEVEL:.0%}, {among}. A pair: two runs that differ in the arm alone. Dice: of one game of either arm; "
        "with one game of a task, what a seed brings to a single task is among them. Tasks are a sample too: on one panel no number of "
        "seeds tells what other tasks would say. At worst: with what warm starts and seeds bring at the upper end of its interval. "
        f"Core-hours are reckoned as a launch reckons its time, with {model}."
    )
    yield (
        "Differences to one EMPG off share its runs, and the intervals take them for independent: of three or four such differences "
        "87 to 91 % of them hold the truth (simulated), not 95."
    )
    if not several:
        yield "All runs of a pair begin with one warm start: what another one would bring is in none of these numbers."


def _varies(parts: Components, pairs: Sequence[Paired]) -> Table:
    """Standard deviations in points, for they are read more easily than variances."""
    rows = [
        ("warm start", *_deviation(parts.start)), ("seed", *_deviation(parts.seed)), ("task", *_deviation(parts.task)),
        ("dice of a game", f"{100 * parts.dice**0.5:.1f}", "–", "–"),
    ]  # fmt: skip
    tasks, samples = pairs[0].treatment.shape[1], pairs[0].samples
    by_dice = parts.dice / tasks / samples
    whole = by_dice + parts.seed.variance + parts.start.variance + parts.task.variance / tasks
    rows.append((f"a pair of runs on {tasks} tasks", f"{100 * whole**0.5:.1f}", "–", "–"))
    rows.append(("of its variance, dice", f"{by_dice / whole:.0%}", "–", "–"))
    header = ("a difference varies by", "sd, points", "95 % interval", "degrees of freedom")
    return Table("What a difference varies by", tuple(map(Heading, header)), tuple(rows), 1)


def _deviation(part: Component) -> tuple[str, str, str]:
    if not part.df:
        return "not known", "–", "0"
    sd, low, high = (f"{100 * value**0.5:.1f}" for value in (part.variance, part.low, part.high))
    return sd, f"{low} – {high}", str(part.df)


def _needed(parts: Components, designs: Sequence[Design], asked: Asked, hours: Hours) -> Table:
    rows = []
    for design in designs:
        cells = [_cell(parts, design, effect, asked, hours) for effect in EFFECTS]
        rows.append((str(design.tasks), str(design.samples), *cells))
    what = f"warm starts × {PER_START} seeds" if designs[0].starts > 1 else "pairs"
    header = ("tasks", "games of each", *(f"{100 * effect:.0f} points" for effect in EFFECTS))
    title = f"How many {what} tell a difference (at worst), and core-hours"
    return Table(title, tuple(map(Heading, header)), tuple(rows), 0)


def at_worst(parts: Components) -> Components:
    """With what warm starts and seeds bring at the upper ends of their intervals: few runs know it poorly, and often find none."""
    start, seed = (replace(part, variance=part.high) if part.df else part for part in (parts.start, parts.seed))
    return replace(parts, start=start, seed=seed)


def _cell(parts: Components, design: Design, effect: float, asked: Asked, hours: Hours) -> str:
    found, worst = (seeds_needed(of, design, effect, asked.comparisons) for of in (parts, at_worst(parts)))
    if found is None:
        return "none"
    cost = hours(found)
    return f"{_count(found)} ({_count(worst)})" + ("" if math.isnan(cost) else f" · {cost:.1f} h")


def _count(design: Design | None) -> str:
    """Warm starts where there are several, else pairs."""
    if design is None:
        return "none"
    return str(design.starts if design.starts > 1 else design.seeds)


def _told(parts: Components, pairs: Sequence[Paired], asked: Asked) -> Table:
    """By the pooled components, and not by each difference's own few degrees of freedom."""
    rows = []
    for seeds, starts, tasks, samples in dict.fromkeys((*_size(pair), pair.samples) for pair in pairs):
        design = Design(starts, seeds // starts, tasks, samples)
        found = detectable(parts, design, asked.comparisons)
        rows.append(
            (f"{seeds} pairs, {tasks} tasks, {samples} game{'s' * (samples > 1)} of each", f"{100 * found:.1f}")
        )
    header = ("these runs", "told from 0, points")
    return Table("What these runs could tell", tuple(map(Heading, header)), tuple(rows), 1)


def _size(pair: Paired) -> tuple[int, int, int]:
    return len(pair.treatment), len(set(pair.starts)), pair.treatment.shape[1]


def _simulated(parts: Components, designs: Sequence[Design], asked: Asked) -> Table:
    """Each once with no difference and once with the one that it was made for."""
    rows = []
    for design, effect in product(designs, EFFECTS):
        needed = seeds_needed(parts, design, effect)
        if needed is not None and design.samples == 1:
            shares = (rejected(parts, needed, true, asked.simulate) for true in (0.0, effect))
            rows.append(
                (str(needed.pairs), str(needed.tasks), f"{100 * effect:.0f}", *(f"{100 * s:.1f}" for s in shares))
            )
    header = ("pairs", "tasks", "points", "% significant without a difference", "% significant with it")
    title = f"Simulated: {asked.simulate} studies of each design, one comparison"
    return Table(title, tuple(map(Heading, header)), tuple(rows), 0)
