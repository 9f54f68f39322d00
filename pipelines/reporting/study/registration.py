"""The registration of a study: one YAML, written before the first run, that says what is compared, how it is tested and how large
it is. Light to import."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from pipelines.errors import ConfigError
from pipelines.files import yaml_of
from pipelines.reporting.statistics import FEW_SEEDS, LEVEL
from pipelines.sections import NonNegative, NonNegativeInt, Positive, PositiveInt, Section

Several = Annotated[PositiveInt, Field(ge=2)]
Replicates = Annotated[PositiveInt, Field(ge=FEW_SEEDS)]  # fewer give no verdict


class Contrast(Section):
    """Two arms whose paired difference, ``arm`` − ``baseline``, is asked for."""

    arm: str
    baseline: str


class Control(Section):
    """An arm of which an effect is expected beforehand, so that the study shows whether it can tell. ``at_least``: of the effect, in
    points. ``why`` so much is expected."""

    baseline: str
    expected: Literal["higher", "lower"]
    at_least: Positive
    why: str


class Rules(Section):
    """``alpha``: the level, that of all tables. ``looks``: how often results are looked at. ``power``: the least that the plan must
    promise for each control's effect."""

    alpha: Annotated[float, Field(ge=LEVEL, le=LEVEL)]
    looks: Literal[1]
    correction: Literal["holm"]
    power: Annotated[float, Field(ge=0.5, lt=1)]


class Spread(Section):
    """What a paired difference varies by, as standard deviations in points: warm starts, seeds, tasks, and the dice of one game of
    either arm. The plan's, from runs of before (``python -m flows.power``)."""

    warm_start: NonNegative
    seed: NonNegative
    task: NonNegative
    dice: Positive


class Size(Section):
    """A study of so many hours. ``first``: the seed of the first of its warm starts. Those of two sizes are different ones, so that
    the longer study is no second look at the shorter one."""

    warm_starts: Replicates
    first: NonNegativeInt
    arms: tuple[str, ...]


class Registration(Section):
    """``settings``: overrides of every run, ``arms``: those of each arm. ``rollouts``: of so many last iterations the mean success is
    the second outcome. ``seeds_per_warm_start``: pairs of runs that begin with one warm start. ``others``: further arms, each with its
    baseline, the family of the correction. ``spreads``: by name, ``planned`` the one that the plan goes by. ``hours``: the sizes."""

    question: str
    benchmark: str
    model: str
    scale: str
    settings: tuple[str, ...]
    tasks: Several
    rollouts: PositiveInt
    seeds_per_warm_start: Several
    arms: dict[str, tuple[str, ...]]
    primary: Contrast
    others: dict[str, str]
    controls: dict[str, Control]
    test: Rules
    spreads: dict[str, Spread]
    planned: str
    hours: dict[int, Size]

    @model_validator(mode="after")
    def _names_what_it_has(self) -> Self:
        for where, arm in self._named():
            if arm not in self.arms:
                raise ValueError(f"{where} names the arm {arm}, arms has {', '.join(self.arms)}")
        if self.planned not in self.spreads:
            raise ValueError(f"planned={self.planned} is none of spreads, which has {', '.join(self.spreads)}")
        controls = [(name, control.baseline) for name, control in self.controls.items()]
        for arm, baseline in [(self.primary.arm, self.primary.baseline), *self.others.items(), *controls]:
            if arm == baseline:
                raise ValueError(f"the arm {arm} is its own baseline: name another one")
        for hours, size in self.hours.items():
            if twice := sorted({arm for arm in size.arms if size.arms.count(arm) > 1}):
                raise ValueError(f"hours.{hours}.arms names {', '.join(twice)} more than once")
            if idle := set(size.arms) - self._compared():
                raise ValueError(f"hours.{hours}.arms has {', '.join(sorted(idle))}, which nothing is compared with")
            if lacking := {self.primary.arm, self.primary.baseline, *self._baselines(size)} - set(size.arms):
                raise ValueError(
                    f"hours.{hours}.arms lacks {', '.join(sorted(lacking))}, which its others are compared with"
                )
        for (hours, one), (others, other) in combinations(self.hours.items(), 2):
            if again := sorted(set(self.warm_starts(one)) & set(self.warm_starts(other))):
                raise ValueError(
                    f"hours.{hours} and hours.{others} share the warm start {again[0]}: choose another first"
                )
        return self

    def _named(self) -> Iterator[tuple[str, str]]:
        yield from (("primary", arm) for arm in (self.primary.arm, self.primary.baseline))
        yield from (("others", arm) for pair in self.others.items() for arm in pair)
        yield from (("controls", arm) for name, control in self.controls.items() for arm in (name, control.baseline))
        yield from ((f"hours.{hours}", arm) for hours, size in self.hours.items() for arm in size.arms)

    def _compared(self) -> set[str]:
        controls = {arm for name, control in self.controls.items() for arm in (name, control.baseline)}
        return {self.primary.arm, self.primary.baseline, *self.others, *self.others.values()} | controls

    def _baselines(self, size: Size) -> set[str]:
        controls = {name: control.baseline for name, control in self.controls.items()}
        return {baseline for arm, baseline in {**self.others, **controls}.items() if arm in size.arms}

    def warm_starts(self, size: Size) -> list[int]:
        """Their seeds."""
        return list(range(size.first, size.first + size.warm_starts))

    def seeds_of(self, warm_start: int) -> list[int]:
        """Of the runs that begin with it. No other warm start has them: what a seed does to a difference is drawn anew each time."""
        first = warm_start * self.seeds_per_warm_start
        return list(range(first, first + self.seeds_per_warm_start))


def read_registration(file: Path) -> Registration:
    """Raises ConfigError: as its two halves do."""
    return registration_of(read_content(file), file)


def read_content(file: Path) -> bytes:
    """Raises ConfigError: the file cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}: name a registration, as studies/second.yaml") from None


def registration_of(content: bytes, file: Path) -> Registration:
    """``file``: where the content is from. Raises ConfigError: it is no YAML, or what is wrong in it."""
    try:
        return Registration.model_validate(yaml_of(content))
    except ValidationError as error:
        raise ConfigError(f"{file}: {'; '.join(map(_problem, error.errors()))}") from None
    except ValueError as error:
        raise ConfigError(f"{file} is no YAML: {error}") from None


def _problem(problem: Any) -> str:
    place, message = ".".join(map(str, problem["loc"])), str(problem["msg"]).removeprefix("Value error, ")
    given = problem["input"]
    shown = f" ({given})" if isinstance(given, str | int | float) else ""
    if isinstance(given, bool):
        shown = f" ({given}: YAML reads off, on, yes and no so, unless they are quoted)"
    return f"{place}: {message}{shown}" if place else message


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def size_of(registration: Registration, hours: int) -> Size:
    """Raises ConfigError: it has no such size."""
    if hours not in registration.hours:
        known: Mapping[int, Size] = registration.hours
        raise ConfigError(
            f"hours={hours}: the registration has sizes for {', '.join(map(str, known))} hours, take one of them"
        )
    return registration.hours[hours]
