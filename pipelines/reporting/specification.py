"""Which runs are which row of the paper's tables, and what their columns show: ``paper/tables.yaml``, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

import yaml
from pydantic import Field

from pipelines.reporting.names import PAPER, has_strength
from pipelines.sections import Section

_UNTRAINED = ("prompting", "react")  # the names of the algorithms of cells that do not train


class Row(Section):
    """One row: the runs of one model, method and arm. ``empg``: the arm; None for methods that do not train, where any arm will do.
    ``zeta``, ``k``: None where the arm has no use for them. ``k_future``: None where it equals ``k``."""

    model: str
    method: str
    empg: str | None = None
    zeta: float | None = None
    k: float | None = None
    k_future: float | None = None
    normalization: str = "batch"

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Row:
        """The row that a run of this configuration belongs to."""
        empg, method = config["empg"], methods_of(config)[0]
        row = cls(model=config["model"]["name"], method=method, empg=None if method in _UNTRAINED else empg["arm"])
        if not row.has_strength:
            return row
        strength = {name: empg[name] for name in ("zeta", "k", "normalization")}
        k_future = None if empg["k_future"] == empg["k"] else empg["k_future"]
        return row.model_copy(update={**strength, "k_future": k_future})

    def holds(self, config: Mapping[str, Any]) -> bool:
        """Whether a run of this configuration belongs to the row."""
        empg = config["empg"]
        if config["model"]["name"] != self.model or self.method not in methods_of(config):
            return False
        if not self.has_strength:
            return self.empg in (None, empg["arm"])
        theirs = [empg.get(name) for name in ("arm", "zeta", "k", "k_future", "normalization")]
        k_future = self.k if self.k_future is None else self.k_future
        return theirs == [self.empg, self.zeta, self.k, k_future, self.normalization]

    @property
    def has_strength(self) -> bool:
        """Whether ζ, k and the scope of the normalisation bear on the row's runs."""
        return has_strength(self.empg)

    @property
    def baseline(self) -> Row | None:
        """The row that this one is compared with; None for a row without EMPG."""
        return None if self.empg in (None, "off") else Row(model=self.model, method=self.method, empg="off")

    def __str__(self) -> str:
        words = [self.model, self.method, (self.empg or "").replace("_", " ")]
        if self.has_strength:
            over = "" if self.normalization == "batch" else f", per {self.normalization}"
            future = "" if self.k_future is None else f", k′ = {self.k_future}"
            words.append(f"(ζ = {self.zeta}, k = {self.k}{future}{over})")
        return " ".join(filter(None, words))


def methods_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What the tables call the way in which a run got its policy. A run that trains is called by its algorithm, and so is one
    whose algorithm is "prompting" or "react". Any other run without training is prompting if it had the benchmark's own prompt,
    and react if it had the whole transcript. A stand-in's own prompt is the whole transcript, so that its run is both."""
    name = str(config["algorithm"]["name"])
    if config["training"]["iterations"] or name in _UNTRAINED:
        return (name,)
    if config["benchmark"]["prompt"]["history"] != "full":
        return ("prompting",)
    return ("prompting", "react") if config["model"]["weights"] == "stand_in" else ("react",)


class Each(Section):
    """Stands for a column for every task type of an average."""

    group: str
    each: str


class Column(Section):
    """See ``paper/tables.yaml``. ``of``: "all", an average's name or a task type; ``at``: the first evaluation or the last;
    ``paper``: a column of the paper's CSV."""

    group: str
    name: str
    of: str
    measure: str = "success"
    at: Literal["start", "end"] = "end"
    paper: str = ""
    mean_of: tuple[str, ...] = ()
    compared: bool = False

    @property
    def published(self) -> str:
        return self.paper or self.name.lower()


class Specification(Section):
    """What a table shows. ``columns``: by benchmark; ``seeds``: behind each of the paper's numbers, None where the paper does
    not say."""

    name: str
    title: str
    seeds: int | None = None
    labels: tuple[str, ...]
    names: dict[str, str] = Field(default_factory=dict)
    columns: Mapping[str, tuple[Each | Column, ...]]
    rows: tuple[Row, ...]

    def compares(self, benchmark: str) -> bool:
        """Whether the numbers of a row on this benchmark are compared with those of its baseline."""
        return any(isinstance(entry, Column) and entry.compared for entry in self.columns[benchmark])

    def columns_of(self, benchmark: str, averages: Mapping[str, list[str]]) -> list[Column]:
        """The columns, one for each task type where ``each`` asks for them. ``averages``: the task types of each average."""
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
    """The paper's tables and the controls, by name."""
    entries = yaml.safe_load((PAPER / "tables.yaml").read_text("utf-8"))
    return {name: _specification(name, **entry) for name, entry in entries.items() if name[0] != "."}


def _specification(
    name: str, rows: list[dict[str, Any]], defaults: Mapping[str, Any] | None = None, **entry: Any
) -> Specification:
    """``defaults``: the values of ζ, k and the normalisation, for rows whose arm uses them."""
    rows = [{**(defaults or {}), **row} if has_strength(row.get("empg")) else row for row in rows]
    return Specification.model_validate({"name": name, "rows": rows, **entry})
