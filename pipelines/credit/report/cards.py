"""A card for each method: what it is, what it reads and needs, what it costs, and what was measured of it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from empg.credit import ESTIMATORS, MODULATORS
from pipelines.credit.methods import MODULATOR_OF_ARM
from pipelines.credit.report.results import ALL, CreditResult, Method
from pipelines.credit.report.tables import HEADINGS, cell
from pipelines.reporting.rendering import Document, Heading, Table

_STATE = "states"  # in what a method reads


def cards(study: Sequence[CreditResult]) -> Document:
    """A table for each method of any of the runs."""
    methods = dict.fromkeys(name for result in study for name in result.methods)
    return Document("Methods, a card each", tuple(_card(name, study) for name in methods))


def title_of(estimator: str) -> str:
    """How an estimator is written."""
    return str(_known().get(estimator, {}).get("title", estimator))


def _card(name: str, study: Sequence[CreditResult]) -> Table:
    having = [result for result in study if name in result.about.methods]
    method = having[0].about.methods[name]
    estimator, arm = method.estimator["name"], method.modulator["arm"]
    facts = _known().get(estimator, {})
    reads = str(facts.get("reads", "–"))
    rows = {
        "formula": _formula(ESTIMATORS, estimator),
        "modulator": f"{arm}: {_formula(MODULATORS, MODULATOR_OF_ARM.get(arm, ''))}" if arm != "off" else "none",
        "unit of credit": str(facts.get("unit", "–")),
        "reads": reads + (", entropies" if arm != "off" else ""),
        "state": _each(having, _state) if _STATE in reads else "none",
        "needs of the policy": ", ".join(method.needs) or "nothing that not every policy records",
        "settings": _settings(method),
        "cost": _each(having, lambda result: f"{result.about.methods[name].milliseconds:g} ms an iteration's batch"),
        **{result.title: _measured(result, name) for result in having},
    }
    header = (Heading("what"), Heading("is"))
    return Table(f"{title_of(estimator)}, {arm} ({name})", header, tuple(rows.items()), words=2)


def _formula(registry: Mapping[str, type], name: str) -> str:
    """The first paragraph of the method's own file."""
    if name not in registry:
        return "–"
    text = inspect.getdoc(sys.modules[registry[name].__module__]) or "–"
    return " ".join(text.split("\n\n")[0].split())


def _settings(method: Method) -> str:
    own = {**method.estimator, **(method.modulator if method.modulator["arm"] != "off" else {})}
    return ", ".join(f"{key} = {value}" for key, value in own.items() if key not in ("name", "arm")) or "none"


def _state(result: CreditResult) -> str:
    state = result.about.state
    return f"history of {state['history']} steps" if state["state"] == "history" else str(state["state"])


def _each(having: Sequence[CreditResult], what: Callable[[CreditResult], str]) -> str:
    """What is said of all runs, once where they agree."""
    said = {result.title: what(result) for result in having}
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return "; ".join(f"{title}: {text}" for title, text in said.items())


def _measured(result: CreditResult, name: str) -> str:
    rows = result.of(ALL, ALL)
    scores = {r.score: (r.value, r.low, r.high) for r in rows[rows["method"] == name].itertuples(index=False)}
    return "; ".join(
        f"{heading} {cell(score, *scores[score])}" for score, heading in HEADINGS.items() if score in scores
    )


@cache
def _known() -> Mapping[str, Any]:
    found: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("methods.yaml").read_text("utf-8"))
    return found
