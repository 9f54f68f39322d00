"""What a registration composes to at a size: its runs, what they cost, and what they promise to tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

from flows.configure.compose import as_group, compose_all
from flows.launch.command import Command
from flows.launch.jobs import Job, core_seconds
from pipelines.config import ExperimentConfig, RunConfig
from pipelines.errors import ConfigError
from pipelines.reporting.study.registration import Registration, Size, read_content, registration_of, size_of
from pipelines.reporting.study.results import RegisteredRun, composed_of
from pipelines.run_folder import run_fingerprint

# What a control may change of the others: it trains otherwise, and is measured alike.
_SHARED = ("benchmark", "data", "model", "policy", "evaluation", "warm_start", "rollout")


@dataclass(frozen=True)
class Member:
    """A run of the study."""

    arm: str
    warm_start: int
    seed: int
    job: Job


@dataclass(frozen=True)
class Plan:
    """``content``: of the registration's file, as it was read. ``name``: of the study, its folders'. ``how``: overrides that say how
    to launch and where to, not what."""

    file: Path
    content: bytes
    registration: Registration
    hours: int
    name: str
    how: tuple[str, ...]
    members: tuple[Member, ...]

    @property
    def size(self) -> Size:
        return size_of(self.registration, self.hours)

    @property
    def jobs(self) -> list[Job]:
        return [member.job for member in self.members]

    @property
    def core_hours(self) -> float:
        """As a launch reckons, nothing of it being done."""
        return core_seconds(self.jobs) / 3600

    @property
    def command(self) -> Command:
        """Of the launch."""
        configs = tuple(job.config for job in self.jobs)
        return Command(self.how, ("-m",), True, False, configs, tuple(self.jobs))

    @cached_property
    def runs(self) -> tuple[RegisteredRun, ...]:
        """As they are registered."""
        return tuple(
            RegisteredRun(
                arm=member.arm, warm_start=member.warm_start, seed=member.seed,
                folder="/".join(member.job.folder.parts[-2:]), fingerprint=run_fingerprint(member.job.config.experiment),
            )
            for member in self.members
        )  # fmt: skip

    @property
    def composed(self) -> str:
        """The SHA-256 of what the registration composes to by today's code."""
        return composed_of(self.runs)


def plan_of(file: Path, hours: int, how: Sequence[str]) -> Plan:
    """Raises ConfigError: what is wrong in the registration, or with the runs that it composes to."""
    content = read_content(file)
    registration = registration_of(content, file)
    size, name = size_of(registration, hours), f"{file.stem}-{hours}h"
    how = tuple(as_group(override) for override in how)
    arms = [_overrides(registration, arm, how) for arm in size.arms]
    configs = dict(zip(size.arms, zip(arms, _composed(file, arms), strict=True), strict=True))
    _check(file, registration, {arm: config.experiment for arm, (_, config) in configs.items()})
    members = [
        _member(name, arm, start, seed, *configs[arm])
        for start in registration.warm_starts(size)
        for seed in registration.seeds_of(start)
        for arm in size.arms
    ]
    return Plan(file, content, registration, hours, name, how, tuple(members))


def _overrides(registration: Registration, arm: str, how: Sequence[str]) -> list[str]:
    chosen = [f"benchmark={registration.benchmark}", f"model={registration.model}", f"scale={registration.scale}"]
    return [*map(as_group, (*chosen, *registration.settings, *registration.arms[arm])), *how]


def _composed(file: Path, arms: Sequence[Sequence[str]]) -> list[RunConfig]:
    try:
        return compose_all(arms)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def _member(name: str, arm: str, start: int, seed: int, overrides: Sequence[str], config: RunConfig) -> Member:
    """Seeds are no reason to compose anew."""
    experiment = config.experiment
    assert experiment.warm_start is not None
    warm_start = experiment.warm_start.model_copy(update={"seed": start})
    experiment = experiment.model_copy(update={"seed": seed, "warm_start": warm_start})
    own = tuple(override for override in overrides if not override.startswith(("hydra.", "hydra/")))
    config = config.model_copy(update={"experiment": experiment})
    return Member(
        arm, start, seed, Job((*own, f"warm_start.seed={start}", f"seed={seed}"), config, (f"{name}/{arm} w{start}",))
    )


def _check(file: Path, registration: Registration, arms: dict[str, ExperimentConfig]) -> None:
    """Raises ConfigError: the arms are not what the registration compares."""
    (first, one), *others = arms.items()
    for wrong in _wrong(registration, first, one):
        raise ConfigError(f"{file}: {wrong}")
    for arm, other in others:
        if differing := [name for name in _SHARED if getattr(one, name) != getattr(other, name)]:
            raise ConfigError(
                f"{file}: the arms {first} and {arm} differ in {', '.join(differing)}: these belong into settings, for all arms"
            )
    for (arm, its), (again, other) in combinations(arms.items(), 2):
        if its == other:
            raise ConfigError(
                f"{file}: the arms {arm} and {again} compose to the same runs: take one of them out of hours.…arms"
            )
    for arm in (registration.primary.arm, registration.primary.baseline):
        if (iterations := arms[arm].training.iterations) < registration.rollouts:
            raise ConfigError(
                f"{file}: rollouts={registration.rollouts} is more than the {iterations} iterations of the arm {arm}"
            )
    contrasts = [(registration.primary.arm, registration.primary.baseline), *registration.others.items()]
    for arm, baseline in contrasts:
        if arm in arms and arms[arm].model_copy(update={"empg": arms[baseline].empg}) != arms[baseline]:
            raise ConfigError(
                f"{file}: the arm {arm} and its baseline {baseline} differ in more than EMPG: only controls may"
            )


def _wrong(registration: Registration, arm: str, experiment: ExperimentConfig) -> Iterator[str]:
    evaluation = experiment.evaluation
    if experiment.warm_start is None:
        yield f"the arm {arm} has no warm start, and these are the study's replicates: choose a scale that has one"
    if (evaluation.games, evaluation.samples) != (registration.tasks, 1):
        yield (
            f"tasks={registration.tasks}, but the arm {arm} plays {evaluation.games} tasks {evaluation.samples} times: set "
            "evaluation.games in settings to the same, and evaluation.samples=1"
        )
