"""What identifies a run and what a reader needs to show its numbers: ``results/run.json``. Light to import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from empg.credit import Column
from pipelines.schemas import FINAL_COLUMN, RUN_JSON

# What reports sort and name runs by. ``ExperimentConfig.values()`` always holds them.
_NEEDED = (
    "scale", "seed", "benchmark.name", "benchmark.prompt.history", "model.name", "model.weights", "algorithm.name",
    "empg.arm", "training.iterations",
)  # fmt: skip


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


# Runs that were made before methods declared their columns are all EMPG's.
EMPG_COLUMNS = (
    Column("H", "step entropy", "nats"),
    Column("H_norm", "normalised step entropy"),
    Column("g", "gain"),
    Column("f", "clarity of the next step"),
    Column("A", "baseline advantage"),
    Column("A_mod", "modulated advantage"),
    FINAL_COLUMN,
)


class RunInfo(_Record):
    """``config``: the experiment's values. ``panel_sha256``, ``panel_size``: of the tasks that were evaluated. ``commit``: of the
    code, with "+" for uncommitted changes. ``measures``: the columns of an evaluation that tables show, with their names there.
    ``averages``: names of means over task types. ``remarks``: what a reader must know of how the run was scored. ``absent``: why
    a table of the analysis is not there, by its file name. ``columns``: what the run's method declares for every step.
    ``checkpoint``: the last policy in the artifact store, "" before the run is finished. ``command``: what makes the run again, as
    a shell reads it; "" where it was not launched by one. ``committed``: the day of the commit. ``stages``: what each stage computes
    (``versions.STAGES``); empty in records of before. ``machines``: the kinds of machine that its artifacts were made on
    (``cpu.kind_of_machine``), the warm start first; an empty one stands for artifacts that do not say, none for records of before."""

    cell: str
    seed: int
    fingerprint: str
    panel_sha256: str
    panel_size: int
    stand_in: bool
    config: dict[str, Any]
    commit: str
    versions: dict[str, str]
    measures: dict[str, str]
    averages: dict[str, list[str]]
    remarks: list[str]
    absent: dict[str, str]
    columns: tuple[Column, ...] = EMPG_COLUMNS
    checkpoint: str = ""
    command: str = ""
    committed: str = ""
    stages: dict[str, int] = {}
    machines: list[dict[str, str]] = []

    @field_validator("config")
    @classmethod
    def _names_the_run(cls, config: dict[str, Any]) -> dict[str, Any]:
        for key in _NEEDED:
            value: Any = config
            for part in key.split("."):
                if not isinstance(value, dict) or part not in value:
                    raise ValueError(f"{key} is missing")
                value = value[part]
        return _in_todays_keys(config)

    @field_validator("measures")
    @classmethod
    def _measure_success(cls, measures: dict[str, str]) -> dict[str, str]:
        if "success" not in measures:
            raise ValueError("success is missing")
        return measures

    def values(self) -> dict[str, Any]:
        """Plain JSON values, as ``run.json`` holds them."""
        return self.model_dump(mode="json")

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def benchmark(self) -> str:
        return str(self.config["benchmark"]["name"])

    @property
    def model(self) -> str:
        return str(self.config["model"]["name"])

    @property
    def algorithm(self) -> str:
        return str(self.config["algorithm"]["name"])

    @property
    def arm(self) -> str:
        return str(self.config["empg"]["arm"])

    @property
    def scale(self) -> str:
        return str(self.config["scale"])


def _in_todays_keys(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with what was renamed under its new name, so that finished results stay readable and comparable:
    ``algorithm.baseline`` and ``algorithm.advantage_eps`` became ``algorithm.estimator``, where only GRPO has an ε. ``credit`` is
    newer than its estimators, which read no state."""
    algorithm = dict(config["algorithm"])
    if "baseline" in algorithm:
        name, eps = algorithm.pop("baseline"), algorithm.pop("advantage_eps")
        algorithm["estimator"] = {"name": name} | ({"eps": eps} if name == "grpo" else {})
    return {"credit": {"state": "observation", "history": 2}, **config, "algorithm": algorithm}


def read_run_info(results: Path) -> RunInfo:
    """The record of a finished run, from its ``results`` folder.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not what a run writes; the message is one line and names the keys that are wrong.
    """
    try:
        return RunInfo.model_validate_json((results / RUN_JSON).read_bytes())
    except ValidationError as error:
        raise ValueError("; ".join(_problem(problem) for problem in error.errors())) from None


def _problem(problem: Any) -> str:
    place, message = ".".join(map(str, problem["loc"])), str(problem["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
