"""``oracle``: what steps were worth under the policy that played them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.configure.recorded import experiment_of
from flows.credit.asked import HOW, Asked, Command, chosen_iterations
from flows.streams import say
from pipelines.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.credit.costs import Cost

_WORKERS = "execution.environment_workers"


def _oracle(asked: Asked) -> None:
    """Everything that can be wrong is found before torch is imported."""
    from pipelines.artifacts import ArtifactStore
    from pipelines.config.views import COMMON_PACKAGES, package_versions
    from pipelines.credit.lineage import finished_run, lineage

    start, folder, run = time.monotonic(), asked.folder, asked.run.resolve()
    info = finished_run(asked.run)
    experiment = experiment_of(info.config, asked.cluster)
    experiment.check_runnable()
    store = ArtifactStore(asked.artifacts, package_versions(COMMON_PACKAGES))
    found = lineage(info, store)
    numbers, iterations = Numbers.of(asked), _iterations(asked, len(found.iterations))

    from flows.launch.libraries import calm_libraries

    calm_libraries()
    from flows.credit.pages import log_oracle, watched
    from pipelines.artifacts import full_disk_is_readable
    from pipelines.credit import oracle_report
    from pipelines.credit.costs import costs, seconds_a_step
    from pipelines.credit.oracle import Question, choose_all, measure
    from pipelines.stages.session import Session

    question = Question(iterations, numbers.steps, numbers.continuations, numbers.seed)
    chosen = choose_all(question, found)
    planned = costs(chosen, question.continuations)
    say(*cost_lines(planned, question.continuations, seconds_a_step(found)))
    if numbers.plan:
        return
    bar = asked.bar()
    try:
        with (
            full_disk_is_readable(asked.artifacts),
            Session(store, numbers.workers) as session,
            watched(bar, f"{run.parent.name}/{run.name} oracle", shown=numbers.pages) as observer,
        ):
            table = measure(session, experiment, found, question, chosen, observer)
        bar.finish()
    finally:
        bar.close()
    with full_disk_is_readable(folder):
        metrics = oracle_report.write(folder, table, question, planned, info)
    if numbers.pages:
        log_oracle(run, info, metrics)
    print(f"written: {folder}/oracle.parquet, .md, .csv, .json  ({time.monotonic() - start:.0f} s)")


@dataclass(frozen=True)
class Numbers:
    """What is asked of every iteration, and how it is played. ``pages``: Prefect and the trackers show it."""

    steps: int
    continuations: int
    seed: int
    workers: int
    plan: bool
    pages: bool

    @classmethod
    def of(cls, asked: Asked) -> Numbers:
        """Raises ConfigError: one of them is wrong."""
        continuations = asked.number("continuations", 32, 4)
        if continuations % 2:
            raise ConfigError(f"continuations={continuations}: give an even number, they are compared by halves")
        steps, seed = asked.number("steps", 200, 1), asked.number("seed", 0, 0)
        plan, pages = asked.is_true("plan", "false"), asked.is_true("pages", "true")
        return cls(steps, continuations, seed, asked.number(_WORKERS, 1, 1), plan, pages)


def _iterations(asked: Asked, count: int) -> tuple[int, ...]:
    """Those that were asked for, or the first, the middle and the last."""
    asks = "iterations" in asked.values
    return tuple(chosen_iterations(asked, count) if asks else sorted({0, count // 2, count - 1}))


def cost_lines(costs: Mapping[int, Cost], continuations: int, seconds_a_step: float | None) -> list[str]:
    """What each iteration takes, and how long all of it does."""
    from flows.windows.terminal import duration

    lines = [
        f"iteration {i}: {cost.steps} steps of {cost.tasks} tasks, {cost.prefixes} prefixes × {continuations} continuations: about "
        f"{cost.sampled:,.0f} steps to play, {cost.replayed:,.0f} to replay"
        for i, cost in costs.items()
    ]
    if seconds_a_step is None:
        return [*lines, "how long that takes is not known: the run's rollouts left no times to tell it by"]
    seconds = seconds_a_step * sum(cost.sampled for cost in costs.values())
    return [
        *lines,
        f"about {duration(seconds)} at the pace of the run's own rollouts ({1 / seconds_a_step:,.0f} steps a second)",
    ]


ORACLE = Command(
    _oracle, ("iterations", "steps", "continuations", "seed", "plan", "pages", "cluster", "out", *HOW, _WORKERS)
)
