"""What every section of the configuration is made of."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from pipelines.config import ExperimentConfig


def _no_switch(value: Any) -> Any:
    if isinstance(value, bool):  # Python's true is a 1
        raise ValueError("write a number, not true or false")
    return value


Int = Annotated[int, BeforeValidator(_no_switch)]
Float = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_no_switch)]
PositiveInt = Annotated[Int, Field(gt=0)]
NonNegativeInt = Annotated[Int, Field(ge=0)]
Positive = Annotated[Float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[Float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[Float, Field(ge=0, le=1)]


def never_bears(why: str, default: Any = ...) -> Any:
    """A field that never bears on numbers, with the reason. It is left out of ``values()``, so of every identity."""
    return Field(default=default, exclude=True, description=why)


class Section(BaseModel):
    """Base of every section: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def values(self) -> dict[str, Any]:
        """The section as plain JSON values, for fingerprints and files."""
        return self.model_dump(mode="json")


Parsing = Literal["reference", "strict"]


class PromptSettings(Section):
    """How observations become messages.

    ``history``: full, the whole transcript as one growing sequence, or the number of last observations that a fresh prompt shows at
    every step (the paper: 2). ``show_admissible``: list the actions that are possible. ``instructions``: explain the task and the
    answer format in words. ``examples``: worked examples before every fresh prompt (ReAct's), the expert's own play on training
    tasks. ``parsing``: how answers are read (``pipelines.environments.answers``)."""

    history: Literal["full"] | PositiveInt = "full"
    show_admissible: bool = True
    instructions: bool = True
    examples: NonNegativeInt = 0
    parsing: Parsing = "strict"

    @model_validator(mode="after")
    def _explained(self) -> PromptSettings:
        if self.examples and not self.instructions:
            raise ValueError(f"examples={self.examples} go with instructions=true, which say what they are")
        return self


class BenchmarkSection(Section):
    """Base of every benchmark's settings.

    ``max_steps``: actions of an episode at most. ``success_reward``: what a solved task pays. ``invalid_penalty``: what an invalid
    action costs. The defaults are GiGPO's. ``evaluation_split``: the panel that evaluations play."""

    name: str
    max_steps: PositiveInt
    prompt: PromptSettings = PromptSettings()
    invalid_penalty: NonNegative = 0.1
    evaluation_split: str
    success_reward: Positive = 10.0

    def without_split(self) -> Self:
        """The same settings with the default split: what an episode is does not depend on the panel that it belongs to."""
        return self.model_copy(update={"evaluation_split": type(self).model_fields["evaluation_split"].default})

    @property
    def measures(self) -> dict[str, str]:
        """The columns of an evaluation that tables show, with their names there; "score" only where it says something
        else than "success"."""
        return {"success": "success"}

    def check_data(self, data: DataSection) -> None:
        """Whether these settings can be played on this data, which is one of the benchmark's own.

        Raises:
            ValueError: they cannot; the message names the setting to change.
        """


class DataSection(Section):
    """Base of every benchmark's data. ``averages``: names of means over task types that an evaluation reports besides."""

    source: str

    @property
    def averages(self) -> dict[str, list[str]]:
        return {}

    def holds(self, split: str) -> int | None:
        """How many tasks a split will have; None: only the files know."""
        return None


class GeneratedData(DataSection):
    """Base of data made here whose fields ``<split>`` say how many tasks to make for it."""

    def holds(self, split: str) -> int:
        return int(getattr(self, split))


class FolderData(DataSection):
    """A benchmark's own files, read unchanged. Where they lie is no part of the values: what they are, the panels' hashes say.
    ``needs``: what a folder holds, in words.

    ``root``: the folder; None: the benchmark's environment variable names it."""

    variable: ClassVar[str]
    needs: ClassVar[str]
    root: Path | None = never_bears("where the files lie: what they are, the panels' hashes say", None)

    @property
    def folder(self) -> Path | None:
        root = self.root or os.environ.get(self.variable)
        return Path(root).absolute() if root else None


@dataclass(frozen=True, slots=True)
class Machines:
    """What one run takes: ``nodes``, and ``gpus`` of each."""

    nodes: int = 1
    gpus: int = 0


class Plan(Protocol):
    """What a run would need, estimated from its configuration alone."""

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        ...

    @property
    def warm_start_seconds(self) -> float:
        """Of these, the warm start's, which is made once for all runs that begin with it."""
        ...

    @property
    def gpus(self) -> int:
        """That the run holds as long as it lasts."""
        ...

    @property
    def at_once(self) -> int | None:
        """How many such runs the machine's memory holds beside each other, at least one; None: it is not what bounds them."""
        ...

    @property
    def misfits(self) -> tuple[str, ...]:
        """What does not fit, with the numbers; empty: everything does."""
        ...

    @property
    def remedy(self) -> str:
        """What to set where something does not fit."""
        ...

    @property
    def assumptions(self) -> str:
        """What the estimate takes for granted, in a sentence."""
        ...

    def rows(self, runs: int) -> Iterable[tuple[str, str]]:
        """Label and text of each line that shows it, "" for a line that belongs to the one above; ``runs`` are planned alike."""
        ...


class PolicySection(Section):
    """Base of every policy's settings, and what the policy can do: nobody asks for that by its name.

    ``trains``: nothing (it only generates), stand-ins, or any model. ``scores``: its learner's log-probs and entropies are a
    model's. ``evaluates``: ``python -m flows.evaluate`` may play a model with it. ``adapts``: it trains an adapter.
    ``temperatures``: the lowest and the highest
    that it samples at, beside 0 (greedy). ``records``: the fields of a ``StepBatch`` that it gives beyond those of every policy.
    """

    trains: ClassVar[Literal["nothing", "stand-ins", "any"]] = "stand-ins"
    scores: ClassVar[bool] = True
    evaluates: ClassVar[bool] = False
    adapts: ClassVar[bool] = False
    temperatures: ClassVar[tuple[float, float]] = (0.0, math.inf)
    records: ClassVar[tuple[str, ...]] = ()

    name: str

    def check(self, experiment: ExperimentConfig) -> None:
        """Whether it can do what the whole experiment asks.

        Raises:
            ValueError: two values contradict each other; the message names the setting to change.
        """

    def check_runnable(self, experiment: ExperimentConfig) -> None:
        """Whether what it needs is here, as a model's folder.

        Raises:
            ConfigError: something is missing; the message says how to get it.
        """

    def check_engines(self) -> None:
        """Whether the libraries are installed that it needs besides the platform's own.

        Raises:
            ConfigError: one is not; the message says how to get it.
        """

    def check_gpus(self, experiment: ExperimentConfig) -> None:
        """Whether this machine has the GPUs that it needs.

        Raises:
            ConfigError: it has not; the message says where to launch, or what to change.
        """

    @property
    def machines(self) -> Machines:
        return Machines()

    @property
    def at_once(self) -> int | None:
        """Episodes that are played beside each other at most; None: all of a batch."""
        return None

    @property
    def checkpoint_parts(self) -> int:
        """Files that share the optimizer's state of a checkpoint."""
        return 1

    def takes_gpus(self, experiment: ExperimentConfig) -> bool:
        """Whether a run on this machine takes its GPUs, so that runs take turns."""
        return self.machines.gpus > 0

    def plan(self, experiment: ExperimentConfig) -> Plan | None:
        """What a run would need; None: it is one process on this machine, and needs no plan.

        Raises:
            ConfigError: the model is unknown, or cannot be spread like this.
        """
        return None
