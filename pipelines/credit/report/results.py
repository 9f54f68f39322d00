"""The folder of one scoring, as it is written and as it is read: what stands in which file, and of which run it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.errors import DataError
from pipelines.files import damaged_file
from pipelines.reporting.names import benchmark_title, place
from pipelines.run_info import RunInfo
from pipelines.schemas import CHOSEN_TRAJECTORIES

ALL = "all"
CREDIT_JSON, SCORES_CSV, DIFFERENCES_CSV, PROFILES_CSV = "credit.json", "scores.csv", "differences.csv", "profiles.csv"
SIGNALS_CSV = "signals.csv"
SCORE_COLUMNS = ("iteration", "group_size", "method", "score", "value", "low", "high")
DIFFERENCE_COLUMNS = ("score", "method", "other", "difference", "low", "high", "p_holm")
PROFILE_COLUMNS = ("profile", "method", "bin", "steps", "value", "low", "high", "zero")
SIGNAL_COLUMNS = ("iteration", "entropy", "target", "steps", "value", "low", "high")
_FILES = {
    SCORES_CSV: SCORE_COLUMNS, DIFFERENCES_CSV: DIFFERENCE_COLUMNS, PROFILES_CSV: PROFILE_COLUMNS, SIGNALS_CSV: SIGNAL_COLUMNS,
}  # fmt: skip
_TEXT = {"iteration": str, "group_size": str, "method": str, "other": str}


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Method(_Record):
    """``needs``: what not every policy records. ``milliseconds``: of one iteration's batch, where it was scored."""

    estimator: dict[str, Any]
    modulator: dict[str, Any]
    needs: list[str]
    milliseconds: float


class About(_Record):
    """``run``: its record. ``oracle``: what was asked of it. ``steps``, ``tasks``: that it measured. ``reliability``: of its ranking,
    by iteration and of all; None: it ranks nothing. ``state``: what two steps must share to be of one state."""

    run: RunInfo
    oracle: dict[str, Any]
    steps: int
    tasks: int
    reliability: dict[str, float | None]
    state: dict[str, Any]
    methods: dict[str, Method]


@dataclass(frozen=True, eq=False)
class CreditResult:
    """``scores``, ``differences``, ``profiles``, ``signals``: the files' rows; ``trajectories``: CHOSEN_TRAJECTORIES with a column a
    method."""

    about: About
    scores: pd.DataFrame
    differences: pd.DataFrame
    profiles: pd.DataFrame
    signals: pd.DataFrame
    trajectories: pd.DataFrame

    @cached_property
    def title(self) -> str:
        run = self.about.run
        return f"{benchmark_title(run.benchmark)} · {model_title(run)} · {run.cell}, seed {run.seed}"

    @property
    def methods(self) -> list[str]:
        return list(self.about.methods)

    def of(self, iteration: str, group_size: str) -> pd.DataFrame:
        """The scores of one iteration and one group size, or of ``ALL``."""
        return self.scores[(self.scores["iteration"] == iteration) & (self.scores["group_size"] == group_size)]

    def group_sizes(self) -> list[str]:
        """Those of all iterations, ``ALL`` last."""
        return list(dict.fromkeys(self.scores[self.scores["iteration"] == ALL]["group_size"]))

    def members(self, group_size: str) -> int:
        """A group size as a number."""
        return int(self.about.run.config["training"]["group_size"] if group_size == ALL else group_size)


def model_title(run: RunInfo) -> str:
    return f"stand-in for {run.model}" if run.stand_in else run.model


def read_study(root: Path) -> list[CreditResult]:
    """Every scoring below the folder, by benchmark, model, cell and seed. Raises DataError: there is none, or one is damaged."""
    found = [read_result(file.parent) for file in sorted(root.rglob(CREDIT_JSON))]
    if not found:
        raise DataError(f"{root} holds no scores (no {CREDIT_JSON}): python -m flows.credit score writes them")
    return sorted(found, key=_order)


def read_result(folder: Path) -> CreditResult:
    """Raises DataError: a file is missing, damaged, or has other columns."""
    try:
        if (damaged := damaged_file(folder)) is not None:
            raise ValueError(f"{damaged} is not what was written")
        about = About.model_validate_json((folder / CREDIT_JSON).read_bytes())
        scores, differences, profiles, signals = (_read(folder / name, columns) for name, columns in _FILES.items())
        trajectories = pd.read_parquet(folder / CHOSEN_TRAJECTORIES.file)
        return CreditResult(about, scores, differences, profiles, signals, trajectories)
    except (OSError, ValueError, ValidationError) as error:
        raise DataError(f"{folder} is no scoring ({error}): python -m flows.credit score writes it again") from None


def _read(file: Path, columns: Iterable[str]) -> pd.DataFrame:
    table = pd.read_csv(file, dtype=_TEXT, float_precision="round_trip")
    if list(table.columns) != list(columns):
        raise ValueError(f"{file.name} has other columns than {', '.join(columns)}")
    return table


def _order(result: CreditResult) -> tuple[Any, ...]:
    run = result.about.run
    return place("benchmarks", run.benchmark), run.model, run.cell, run.seed
