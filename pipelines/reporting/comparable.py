"""Which runs may stand in one table, by their configurations alone. Light to import, for a launch asks before it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pipelines.errors import DataError
from pipelines.reporting.recorded import read_recorded
from pipelines.reporting.specification import Row, Specification, specifications
from pipelines.run_info import RunInfo
from pipelines.schemas import RUN_JSON
from pipelines.versions import STAGES


class Configured(Protocol):
    """A run: its folder, its configuration as plain JSON values, and what its stages computed, which records of before do not say."""

    @property
    def folder(self) -> Path: ...
    @property
    def seed(self) -> int: ...
    @property
    def config(self) -> Mapping[str, Any]: ...
    @property
    def stages(self) -> Mapping[str, int]: ...


@dataclass(frozen=True)
class Planned:
    """A run that may not have been played yet; then its stages are this code's."""

    folder: Path
    config: Mapping[str, Any]
    stages: Mapping[str, int] = field(default_factory=lambda: STAGES)

    @property
    def seed(self) -> int:
        return int(self.config["seed"])


R = TypeVar("R", bound=Configured)


def check_study(runs: Sequence[Configured]) -> None:
    """Raises DataError when the tables or figures of a study would refuse these runs for their configurations."""
    check_one_scale(runs)
    for specification in specifications().values():
        members = members_of(specification, runs)
        for row in specification.rows:
            for benchmark in specification.columns:
                if row.baseline and specification.compares(benchmark):
                    seeds_of_both(members[row, benchmark], members[row.baseline, benchmark])
    first: dict[tuple[str, ...], Configured] = {}
    for run in runs:
        panel = tuple(str(run.config[group]["name"]) for group in ("benchmark", "model", "algorithm"))
        check_compared(run, first.setdefault(panel, run))


def planned_study(root: Path) -> list[Planned]:
    """The finished runs below a folder, none if there is no such folder. Raises DataError naming a bad file."""
    files = (file for file in sorted(root.rglob(RUN_JSON)) if not file.parent.name.startswith("."))
    infos = [(file.parent, _info(file)) for file in files]
    return [Planned(folder, info.config, info.stages) for folder, info in infos]


def _info(file: Path) -> RunInfo:
    try:
        return read_recorded(file.parent)
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is malformed ({error}): {how_to_restore(file.parent)}") from None


def how_to_restore(folder: Path) -> str:
    """The remedy for lost or damaged results: git keeps the grid's, DVC those of the last demo, and a run makes its own anew."""
    kept_by = {
        "grid": f"`git checkout -- {folder}` has it as committed",
        "demo": "`dvc checkout results/demo.dvc` brings it back",
    }
    parents = [parent.name for parent in folder.absolute().parents]
    known = kept_by.get(parents[1]) if len(parents) > 2 and parents[2] == "results" else None
    return f"{known}, or launch the run again" if known else "launch the run again"


def members_of(specification: Specification, runs: Sequence[R]) -> dict[tuple[Row, str], list[R]]:
    """The runs of a table's rows and of the rows that those are compared with, by row and benchmark, sorted by seed.

    Raises:
        DataError: two runs are the same row and differ in more than the seed, or not even there; two are of different scales.
    """
    rows = dict.fromkeys([*specification.rows, *(row.baseline for row in specification.rows if row.baseline)])
    found: dict[tuple[Row, str], list[R]] = {}
    for benchmark in specification.columns:
        here = [run for run in runs if run.config["benchmark"]["name"] == benchmark]
        for row in rows:
            members = sorted(
                (run for run in here if row.holds(run.config)), key=lambda run: (*replicate_of(run), run.folder)
            )
            check_one_cell(members, f"row ({row})")
            found[row, benchmark] = members
    check_one_scale([run for members in found.values() for run in members])
    return found


def start_of(config: Mapping[str, Any]) -> int:
    """The seed of the warm start that a run begins with; 0 where it has none, for all begin with one model then."""
    return int((config.get("warm_start") or {}).get("seed", 0))


def replicate_of(run: Configured) -> tuple[int, int]:
    """What tells the runs of a cell apart: the seeds of the warm start and of the run."""
    return start_of(run.config), run.seed


def without_seeds(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without what tells the runs of a cell apart."""
    warm_start = config.get("warm_start")
    return {**config, "seed": 0, **({"warm_start": {**warm_start, "seed": 0}} if warm_start else {})}


def seeds_of_both(treatment: Sequence[R], baseline: Sequence[R]) -> tuple[list[R], list[R]]:
    """The runs of the warm starts and seeds that both have, in one order. Raises DataError when they differ in more than EMPG and
    their seeds."""
    both = {replicate_of(run) for run in treatment} & {replicate_of(run) for run in baseline}
    one, other = (
        sorted((run for run in runs if replicate_of(run) in both), key=replicate_of) for runs in (treatment, baseline)
    )
    if both:
        check_compared(one[0], other[0])
    return one, other


def check_one_scale(runs: Sequence[Configured]) -> None:
    """Raises DataError when runs are of different scales."""
    for run in runs[1:]:
        if run.config["scale"] != runs[0].config["scale"]:
            raise DataError(
                f"{run.folder} is of {run.config['scale']} scale, {runs[0].folder} of {runs[0].config['scale']}: "
                f"report them apart, as by python -m flows.report 'runs=<folder>/{run.config['scale']}-*'"
            )


def check_one_cell(runs: Sequence[Configured], what: str = "cell") -> None:
    """Raises DataError when runs differ in more than their seeds, or not even in these, or were made by stages that compute something
    else. ``what`` the runs are the same of."""
    for one, other in pairwise(runs):
        check_one_code(one, other)
        if without_seeds(one.config) != without_seeds(other.config):
            raise DataError(
                f"{one.folder} and {other.folder} are the same {what} with other settings than the seed: report one"
            )
        if replicate_of(one) == replicate_of(other):
            raise DataError(f"{one.folder} and {other.folder} are the same {what} and seed: report one")


def check_compared(treatment: Configured, baseline: Configured) -> None:
    """Raises DataError when two runs whose difference is ascribed to EMPG differ in more than that and their seeds, or were made by
    stages that compute something else."""
    check_one_code(treatment, baseline)
    one, other = without_seeds(treatment.config), without_seeds(baseline.config)
    names = sorted((one.keys() | other.keys()) - {"empg"})
    differing = [name for name in names if one.get(name) != other.get(name)]
    if differing:
        raise DataError(
            f"{treatment.folder} and {baseline.folder} differ in more than EMPG ({', '.join(differing)}): "
            "run both with the same settings, or report them apart"
        )


def check_one_code(one: Configured, other: Configured) -> None:
    """Raises DataError when the stages of two runs do not compute the same: what they differ by may be the code's."""
    if one.stages == other.stages:
        return
    differing = sorted(
        name for name in one.stages.keys() | other.stages if one.stages.get(name) != other.stages.get(name)
    )
    texts = [
        ", ".join(f"{name} {run.stages[name]}" for name in differing if name in run.stages) for run in (one, other)
    ]
    first, second = (text or "none recorded, it is older" for text in texts)
    raise DataError(
        f"{one.folder} and {other.folder} were made by code whose stages compute something else ({first}; {second}): make both "
        "with the same code, or report them apart"
    )
