"""Sections for estimators and modulators, made from their own dataclasses: a new one needs no line here.

A field's type, default and bounds become those of the section. An estimator is chosen by ``name``, a modulator by ``arm``.
"""

from __future__ import annotations

from dataclasses import Field as DataclassField
from dataclasses import fields
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast, get_type_hints

from pydantic import Field, create_model

from empg.credit import ESTIMATORS, MODULATORS, Estimator, Modulator, Settings
from pipelines.sections import Float, Int, PositiveInt, Section

_NUMBERS: dict[Any, Any] = {float: Float, int: Int}


class CreditConfig(Section):
    """What a step's state is: steps of a task whose states are equal are compared by the estimators that ask for it.

    ``state``: observation is what the environment showed before the step (verl-agent's choice); history is that and the steps
    before it, each with what it answered; engine is the key of the engine's state (``Environment.state_key``). ``history``: steps
    before, for state=history."""

    state: Literal["observation", "history", "engine"] = "observation"
    history: PositiveInt = 2


class _Method(Section):
    method: ClassVar[type[Settings]]

    def _make(self) -> Any:
        return self.method(**self.model_dump(include={field.name for field in fields(self.method)}))


class EstimatorSettings(_Method):
    """Which estimator, and its settings."""

    name: str

    def make(self) -> Estimator:
        return cast(Estimator, self._make())


class ModulatorSettings(_Method):
    """Which modulator, by one of its arms, and its settings."""

    arm: str

    def make(self) -> Modulator:
        return cast(Modulator, self._make())


def section_of(method: type[Settings], base: type[_Method], **more: Any) -> type[_Method]:
    """The section of a method's settings. ``more``: further fields, as ``pydantic.create_model`` takes them."""
    hints = get_type_hints(method)
    own = {field.name: (_annotation(field, hints[field.name]), field.default) for field in fields(method)}
    section = create_model(f"{method.__name__}Settings", __base__=base, **more, **cast(Any, own))
    section.method, section.__doc__ = method, method.__doc__
    return section


def _annotation(field: DataclassField[Any], hint: Any) -> Any:
    bounds: dict[str, Any] = {**field.metadata, **({"allow_inf_nan": False} if hint is float else {})}
    return Annotated[_NUMBERS.get(hint, hint), Field(**bounds)]


def choice_of(sections: list[type[_Method]], key: str) -> Any:
    """One of the sections, told apart by ``key``, so that a mistake is said of the chosen one alone."""
    if len(sections) == 1:  # pydantic tells nothing apart where there is one
        return sections[0]
    return Annotated[reduce(or_, sections), Field(discriminator=key)]


if TYPE_CHECKING:
    AnyEstimator = EstimatorSettings
    AnyModulator = ModulatorSettings
else:
    _estimators = [
        section_of(method, EstimatorSettings, name=(Literal[name], name)) for name, method in ESTIMATORS.items()
    ]
    _modulators = [section_of(method, ModulatorSettings) for method in MODULATORS.values()]
    # Pickle finds a class by its name in its module.
    globals().update({section.__name__: section for section in (*_estimators, *_modulators)})
    AnyEstimator, AnyModulator = choice_of(_estimators, "name"), choice_of(_modulators, "arm")
