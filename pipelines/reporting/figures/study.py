"""A study's runs as figures show them: panels of a benchmark, a model and an algorithm, and in each a series per arm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pandas as pd

from pipelines import schemas
from pipelines.reporting.comparable import check_compared, check_one_cell, check_one_scale, replicate_of
from pipelines.reporting.names import arm_label, benchmark_title, has_strength, place
from pipelines.reporting.results import RunResult, check_measured_alike, outcomes
from pipelines.reporting.statistics import Matrix

K = TypeVar("K")
ENTROPY_CHANGE, PROPOSITION1 = schemas.ENTROPY_CHANGE.file, schemas.PROPOSITION1.file
TRAJECTORIES = schemas.CHOSEN_TRAJECTORIES.file
Strengths = tuple[Any, ...]  # ζ, k, k′ and the normalisation of an arm that uses them


@dataclass(frozen=True, eq=False)
class Series:
    """The seeds of one arm with one choice of ζ, k and normalisation. ``strengths``: in words, where the choice differs from the
    panel's usual one; empty for the usual one."""

    arm: str
    strengths: str
    runs: tuple[RunResult, ...]

    @property
    def label(self) -> str:
        return " ".join(filter(None, (arm_label(self.arm), self.strengths)))


@dataclass(frozen=True, eq=False)
class Panel:
    """What is compared with each other: runs of one benchmark, model and algorithm. ``series``: in the paper's order."""

    benchmark: str
    model: str
    algorithm: str
    series: tuple[Series, ...]

    @property
    def setting(self) -> str:
        return f"{self.benchmark} · {self.model}"

    @property
    def usual(self) -> list[Series]:
        """Every arm once, with its usual ζ and k."""
        return [series for series in self.series if not series.strengths]


def comparable_study(runs: Sequence[RunResult]) -> Sequence[RunResult]:
    """The runs of a study, of several benchmarks and models, if figures may compare them.

    Raises:
        DataError: runs are of several scales; those of one benchmark and model were measured differently, those of one series
            have other settings than the seed, or the same seed; series of one panel differ in more than EMPG.
    """
    check_one_scale(runs)
    for members in grouped(runs, lambda run: (run.info.benchmark, model_name(run))).values():
        check_measured_alike(members)
    for panel in panels(runs):
        for series in panel.series:
            check_one_cell(series.runs, f"series ({panel.algorithm}, {series.label})")
            check_compared(series.runs[0], panel.series[0].runs[0])
    return runs


def panels(runs: Sequence[RunResult]) -> list[Panel]:
    """The panels in the paper's order; what the paper does not know follows, by name."""
    groups = grouped(runs, lambda run: (run.info.benchmark, model_name(run), run.info.algorithm))
    ordered = sorted(groups, key=lambda key: (place("benchmarks", key[0]), key[1], place("algorithms", key[2])))
    return [
        Panel(benchmark_title(benchmark), model, algorithm, tuple(_series(groups[benchmark, model, algorithm])))
        for benchmark, model, algorithm in ordered
    ]


def leading(runs: Sequence[RunResult]) -> list[Panel]:
    """Of each benchmark and model, that of the first algorithm."""
    first: dict[str, Panel] = {}
    for panel in panels(runs):
        first.setdefault(panel.setting, panel)
    return list(first.values())


def headline(runs: Sequence[RunResult], iteration: int | None = None) -> tuple[Matrix, list[str] | None]:
    """The success that heads a benchmark's tables: values [runs, tasks] as ``outcomes`` gives them, and the tasks' types where
    every type weighs the same (for ``seed_means`` and ``estimate``); None where every task does."""
    overall = runs[0].info.averages.get("overall") or []
    if overall and set(overall) <= set(runs[0].evaluations["task_type"]):
        return outcomes(runs, "success", iteration, overall)
    return outcomes(runs, "success", iteration)[0], None


def headline_note(runs: Iterable[RunResult]) -> str:
    names = sorted({benchmark_title(run.info.benchmark) for run in runs if headline([run])[1] is not None})
    return f"{' and '.join(names)}: every question set weighs the same, as in the paper's Overall." if names else ""


def trained(runs: Iterable[RunResult]) -> list[RunResult]:
    """The runs that have a curve: not those that were only evaluated."""
    return [run for run in runs if run.last > 0]


def _series(runs: Sequence[RunResult]) -> list[Series]:
    found = []
    for arm, of_arm in sorted(grouped(runs, lambda run: run.info.arm).items(), key=lambda item: place("arms", item[0])):
        choices = grouped(of_arm, _strengths)
        usual = _usual(list(choices))
        for choice, members in sorted(choices.items(), key=lambda item: (item[0] != usual, str(item[0]))):
            found.append(Series(arm, _text(choice, usual), tuple(sorted(members, key=replicate_of))))
    return found


def _strengths(run: RunResult) -> Strengths:
    empg = run.config["empg"] if has_strength(run.info.arm) else {}
    return tuple(empg.get(name) for name in ("zeta", "k", "k_future", "normalization"))


def _usual(choices: Sequence[Strengths]) -> Strengths:
    """The choice that the others differ from least, for a study of ζ and k varies one at a time. Among equals the paper's
    normalisation is the usual one."""

    def shared(choice: Strengths) -> int:
        return sum(one == other for theirs in choices for one, other in zip(choice, theirs, strict=True))

    return min(choices, key=lambda choice: (-shared(choice), choice[-1] != "batch", str(choice)))


def _text(choice: Strengths, usual: Strengths) -> str:
    """In words, where a choice differs from the usual one."""
    names = ("ζ", "k", "k′", "normalisation")
    both = zip(names, choice, usual, strict=True)
    return ", ".join(f"{name} = {one}" for name, one, other in both if one != other)


def model_name(run: RunResult) -> str:
    return f"stand-in for {run.info.model}" if run.info.stand_in else run.info.model


def grouped(items: Iterable[RunResult], key: Callable[[RunResult], K]) -> dict[K, list[RunResult]]:
    groups: dict[K, list[RunResult]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def analysis_table(run: RunResult, name: str) -> pd.DataFrame | None:
    """A table of the run's analysis, whose checksum ``read_run`` has checked; None where the run has none (``why_absent``)."""
    path = run.folder / name
    return pd.read_parquet(path) if path.is_file() else None


def why_absent(runs: Iterable[RunResult], name: str) -> str:
    """In words, why runs lack the table, as "3 runs without: nothing was trained"; empty when none lacks it."""
    reasons = Counter(
        run.info.absent.get(name, "the analysis did not make it") for run in runs if not (run.folder / name).is_file()
    )
    return "; ".join(f"{count} run{'s' * (count > 1)} without: {reason}" for reason, count in sorted(reasons.items()))
