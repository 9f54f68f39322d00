"""Which runs are which row of the paper's tables, and what their columns show: ``paper/tables.yaml``, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, model_validator

from pipelines.sections import Section

PAPER = Path(__file__).with_name("paper")
_UNTRAINED = ("prompting", "react")  # the names that their cells have
_WITHOUT_STRENGTH = (None, "off", "center_only")


class Row(Section):
    """One row: the runs of one model, method and arm. ``empg``: None is any, for methods that do not train; ``zeta``, ``k``:
    None where the arm has no use for them."""

    model: str
    method: str
    empg: str | None = None
    zeta: float | None = None
    k: float | None = None
    normalization: str = "batch"

    def holds(self, config: Mapping[str, Any]) -> bool:
        """Whether a run of this configuration belongs to the row."""
        empg = config["empg"]
        if config["model"]["name"] != self.model or self.method not in methods_of(config):
            return False
        if not self.has_strength:
            return self.empg in (None, empg["arm"])
        theirs = [empg.get(name) for name in ("arm", "zeta", "k", "k_future", "normalization")]
        return theirs == [self.empg, self.zeta, self.k, self.k, self.normalization]

    @property
    def has_strength(self) -> bool:
        """Whether ζ, k and what is normalised over say anything."""
        return self.empg not in _WITHOUT_STRENGTH

    @property
    def baseline(self) -> Row | None:
        """The row that this one is compared with; None: it is none of EMPG's."""
        return None if self.empg in (None, "off") else Row(model=self.model, method=self.method, empg="off")

    def __str__(self) -> str:
        words = [self.model, self.method, (self.empg or "").replace("_", " ")]
        if self.has_strength:
            over = "" if self.normalization == "batch" else f", per {self.normalization}"
            words.append(f"(ζ = {self.zeta}, k = {self.k}{over})")
        return " ".join(filter(None, words))


def methods_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What the tables call the way a run got its policy. One that trains, or says which of the two it is: its algorithm.
    Another without training: prompting with the benchmark's own prompt, react with the whole transcript. A stand-in's own prompt
    is the whole transcript."""
    name = str(config["algorithm"]["name"])
    if config["training"]["iterations"] or name in _UNTRAINED:
        return (name,)
    if config["benchmark"]["prompt"]["history"] != "full":
        return ("prompting",)
    return ("prompting", "react") if config["model"]["weights"] == "stand_in" else ("react",)


class Each(Section):
    """A column for every task type of an average."""

    group: str
    each: str


class Column(Section):
    """See ``paper/tables.yaml``. ``of``: "all", an average's name or a task type; ``paper``: a column of the paper's CSV."""

    group: str
    name: str
    of: str
    measure: str = "success"
    paper: str = ""
    mean_of: tuple[str, ...] = ()
    compared: bool = False

    @property
    def published(self) -> str:
        return self.paper or self.name.lower()


class Specification(Section):
    """One of the paper's tables. ``columns``: by benchmark; ``seeds``: of each of the paper's numbers."""

    title: str
    seeds: int | None
    labels: tuple[str, ...]
    names: dict[str, str] = Field(default_factory=dict)
    columns: dict[str, tuple[Each | Column, ...]]
    rows: tuple[Row, ...]

    @model_validator(mode="before")
    @classmethod
    def _rows_have_the_defaults(cls, values: dict[str, Any]) -> dict[str, Any]:
        values = dict(values)
        defaults = values.pop("defaults", {})
        rows = [row if row.get("empg") in _WITHOUT_STRENGTH else defaults | row for row in values["rows"]]
        return values | {"rows": rows}

    def compares(self, benchmark: str) -> bool:
        """Whether a row's numbers there are compared with its baseline's."""
        return any(isinstance(entry, Column) and entry.compared for entry in self.columns[benchmark])

    def columns_of(self, benchmark: str, averages: Mapping[str, list[str]]) -> list[Column]:
        """``averages``: of the benchmark's data, name → task types."""
        columns: list[Column] = []
        for entry in self.columns[benchmark]:
            if isinstance(entry, Column):
                columns.append(entry)
                continue
            for kind in averages.get(entry.each, []):
                columns.append(Column(group=entry.group, name=self.names.get(kind, kind.replace("_", " ")), of=kind))
        return columns


@cache
def specifications() -> dict[str, Specification]:
    """All tables, by name."""
    entries = yaml.safe_load((PAPER / "tables.yaml").read_text("utf-8"))
    return {name: Specification.model_validate(entry) for name, entry in entries.items() if name[0] != "."}
